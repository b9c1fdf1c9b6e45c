with

measures as (
    select
        measure,
        base_series as series
    from {{ ref('measure_weightings') }}
    where
        weighting = 'observed'
        and minus_series is null
),

grouped as (
    select
        measures.measure,
        source_pairs.*
    from {{ ref('int_source_pairs_grouped') }} as source_pairs
    inner join measures using (series)
),

within as (
    select * from {{ ref('est_source_agreement') }}
),

transformed as (
    select
        *,
        unnest(['ln', 'ln1p']) as transform,
        unnest([first_ln, first_ln1p]) as first_log,
        unnest([second_ln, second_ln1p]) as second_log
    from grouped
),

-- Copy each row with a null year, for statistics over all years.
periods as (
    select
        * exclude (year),
        unnest([year, null]) as year
    from transformed
    where
        first_log is not null
        and second_log is not null
),

compared as (
    select
        measure,
        series,
        scope,
        first_provider,
        second_provider,
        transform,
        grouping,
        group_name,
        year,
        count(distinct city_id) as city_count,
        count(*) as city_year_count,
        {{ agreement_of('first_log', 'second_log') }}
    from periods
    group by
        measure, series, scope, first_provider, second_provider, transform, grouping, group_name, year
),

final as (
    select
        {{ extract_set() }} as extract_set,
        compared.* exclude (series, difference_sd),  -- noqa: RF02
        within.within_correlation,
        within.within_correlation as equal_errors_reliability,
        within.first_reliability,
        within.second_reliability,
        case
            when within.within_correlation is not null
                then
                    'Reliability within city and year, if errors are classical (unrelated to the truth) and those of '
                    || 'the two providers unrelated to each other: equal_errors_reliability also needs errors of one '
                    || 'variance; first_reliability and second_reliability do not. Shared errors make all three too '
                    || 'high.'
        end as assumption_en,
        case
            when within.within_correlation is not null
                then
                    '城市与年份内的信度，前提是误差为经典误差（与真值无关），且两家提供方的误差互不相关：'
                    || 'equal_errors_reliability 还要求两者误差方差相等，first_reliability 与 second_reliability 则不要求。'
                    || '若两家有共同的误差，三者均偏高。'
        end as assumption_zh
    from compared
    left join within
        on
            compared.year is null
            and compared.series = within.series
            and compared.scope = within.scope
            and compared.first_provider = within.first_provider
            and compared.second_provider = within.second_provider
            and compared.transform = within.transform
            and compared.grouping = within.grouping
            and compared.group_name = within.group_name
)

select * from final
