with

grouped as (
    select * from {{ ref('int_source_pairs_grouped') }}
),

within as (
    select * from {{ ref('est_source_agreement') }}
    where transform = 'ln'
),

-- Each row counts in its year, and in all years together.
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

final as (
    select
        current_extract_set() as extract_set,
        compared.* exclude (correlation, mean_difference, difference_sd),  -- noqa: RF02
        compared.correlation as log_correlation,
        compared.mean_difference as mean_log_difference,
        compared.difference_sd as log_difference_sd,
        case when compared.year is null then within.within_correlation end as within_correlation
    from compared
    left join within using (series, scope, first_provider, second_provider, grouping, group_name)
)

select * from final
