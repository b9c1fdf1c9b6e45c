with

grouped as (
    select * from {{ ref('int_source_pairs_grouped') }}
),

within as (
    select * from {{ ref('est_source_agreement') }}
    where transform = 'ln'
),

-- Copy each row with a null year, for statistics over all years.
periods as (
    select
        * exclude (year),
        unnest([year, null]) as year
    from grouped
),

compared as (
    select
        series,
        scope,
        first_provider,
        second_provider,
        grouping,
        group_name,
        year,
        count(distinct city_id) as city_count,
        count(*) as city_year_count,
        median(second_value / nullif(first_value, 0)) as median_ratio,
        avg(case when abs(second_value - first_value) <= 0.01 * abs(first_value) then 1 else 0 end)
            as share_within_1_percent,
        {{ agreement_of('first_ln', 'second_ln') }}
    from periods
    group by series, scope, first_provider, second_provider, grouping, group_name, year
),

-- Range over the years of the log ratio of two sources, by city. City effects absorb a ratio that is constant to within
-- 1 %.
ratios as (
    select
        series,
        scope,
        first_provider,
        second_provider,
        grouping,
        group_name,
        city_id,
        max(second_ln - first_ln) - min(second_ln - first_ln) as log_range
    from grouped
    where
        first_ln is not null
        and second_ln is not null
    group by series, scope, first_provider, second_provider, grouping, group_name, city_id
    having count(*) >= 3
),

steady as (
    select
        series,
        scope,
        first_provider,
        second_provider,
        grouping,
        group_name,
        avg(case when log_range <= 0.01 then 1 else 0 end) as steady_city_share
    from ratios
    group by series, scope, first_provider, second_provider, grouping, group_name
),

final as (
    select
        {{ extract_set() }} as extract_set,
        compared.* exclude (correlation, mean_difference, difference_sd),  -- noqa: RF02
        compared.correlation as log_correlation,
        compared.mean_difference as mean_log_difference,
        compared.difference_sd as log_difference_sd,
        case when compared.year is null then within.within_correlation end as within_correlation,
        case when compared.year is null then steady.steady_city_share end as steady_city_share
    from compared
    left join within using (series, scope, first_provider, second_provider, grouping, group_name)
    left join steady using (series, scope, first_provider, second_provider, grouping, group_name)
)

select * from final
