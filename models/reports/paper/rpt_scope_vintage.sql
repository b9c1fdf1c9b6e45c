{#- The .975 quantile of the standard normal distribution, for Wilson intervals. -#}
{%- set z = 1.959964 -%}

with

-- depends_on: {{ ref('gate_results') }}
entries as (
    select * from {{ ref('fct_register_entries') }}
),

years as (
    select
        provider,
        count(distinct entry_year) as year_count
    from entries
    group by provider
),

-- Cities with entries in every year. Years are compared over these cities only, because late years lack some provinces
-- and their totals would cover fewer cities.
common_cities as (
    select
        entries.provider,
        entries.city_id
    from entries
    inner join years using (provider)
    group by entries.provider, entries.city_id, years.year_count
    having count(distinct entries.entry_year) = years.year_count
),

counted as (
    select
        entries.provider,
        entries.source_name,
        entries.entry_year,
        entries.is_sum_of_years,
        sum(entries.firm_count) as firm_count,
        sum(entries.ai_firm_count) as ai_firm_count,
        sum(case when common_cities.city_id is not null then entries.firm_count else 0 end) as common_city_firm_count,
        sum(case when common_cities.city_id is not null then entries.ai_firm_count else 0 end)
            as common_city_ai_firm_count
    from entries
    left join common_cities using (provider, city_id)
    group by entries.provider, entries.source_name, entries.entry_year, entries.is_sum_of_years
),

shares as (
    select
        *,
        ai_firm_count / firm_count as ai_share,
        {{ z }} * {{ z }} / firm_count as wilson
    from counted
    where firm_count > 0
),

final as (
    select
        {{ extract_set() }} as extract_set,
        provider,
        source_name,
        entry_year,
        is_sum_of_years,
        cast(firm_count as bigint) as firm_count,
        cast(ai_firm_count as bigint) as ai_firm_count,
        ai_share,
        (ai_share + wilson / 2 - {{ z }} * sqrt((ai_share * (1 - ai_share) + wilson / 4) / firm_count)) / (1 + wilson)
            as ai_share_low,
        (ai_share + wilson / 2 + {{ z }} * sqrt((ai_share * (1 - ai_share) + wilson / 4) / firm_count)) / (1 + wilson)
            as ai_share_high,
        cast(common_city_firm_count as bigint) as common_city_firm_count,
        cast(common_city_ai_firm_count as bigint) as common_city_ai_firm_count,
        common_city_ai_firm_count / nullif(common_city_firm_count, 0) as common_city_ai_share,
        entry_year < {{ var('ai_vocabulary_year') }} as is_early_entrant,
        cast(case when entry_year < {{ var('ai_vocabulary_year') }} then 0 else ai_firm_count end as bigint)
            as ai_firm_bound_count
    from shares
)

select * from final
