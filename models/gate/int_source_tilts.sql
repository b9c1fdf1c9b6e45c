{%- set tilts = var('source_tilts') -%}
with

specification_series as (
    select * from {{ ref('dim_specification_series') }}
    where
        is_headline
        and quantity is not null
),

source_pairs as (
    select * from {{ ref('fct_source_pairs') }}
),

conformed as (
    select * from {{ ref('int_series_conformed') }}
),

-- Pairs of an outcome and an AI measure that occur in the same headline specification.
explained as (
    select distinct
        outcomes.series,
        outcomes.scope,
        measures.series as measure_series,
        measures.scope as measure_scope
    from specification_series as outcomes
    inner join specification_series as measures using (specification_id)
    where
        outcomes.role = 'outcome'
        and measures.role = 'measure'
),

measures as (
    select
        series,
        scope,
        city_id,
        arg_max(value, year) as value
    from conformed
    where value is not null
    group by series, scope, city_id
),

-- Difference between the log trends that two providers report for a city.
growth_differences as (
    select
        series,
        scope,
        first_provider,
        second_provider,
        city_id,
        regr_slope(first_ln - second_ln, year) as growth_difference
    from source_pairs
    group by series, scope, first_provider, second_provider, city_id
    having count(first_ln - second_ln) >= {{ tilts.years }}
),

ranked as (
    select
        explained.*,
        growth_differences.first_provider,
        growth_differences.second_provider,
        growth_differences.city_id,
        rank() over (pairs order by growth_differences.growth_difference) as difference_rank,
        rank() over (pairs order by measures.value) as measure_rank
    from explained
    inner join growth_differences using (series, scope)
    inner join measures
        on
            explained.measure_series = measures.series
            and explained.measure_scope = measures.scope
            and growth_differences.city_id = measures.city_id
    window pairs as (
        partition by
            explained.series, explained.scope, explained.measure_series, explained.measure_scope,
            growth_differences.first_provider, growth_differences.second_provider
    )
),

correlations as (
    select
        series,
        scope,
        measure_series,
        measure_scope,
        first_provider,
        second_provider,
        count(*) as city_count,
        corr(difference_rank, measure_rank order by city_id) as tilt
    from ranked
    group by series, scope, measure_series, measure_scope, first_provider, second_provider
    having count(*) >= {{ tilts.cities }}
),

-- One row per outcome, measure and pair of providers. An outcome from a single provider has one row with null
-- providers.
final as (
    select
        explained.*,
        correlations.first_provider,
        correlations.second_provider,
        coalesce(correlations.city_count, 0) as city_count,
        correlations.tilt,
        case when abs(correlations.tilt) > {{ tilts.correlation_max }} then round(correlations.tilt, 2) end as odd_tilt
    from explained
    left join correlations using (series, scope, measure_series, measure_scope)
)

select * from final
