-- A provider that a specification names, and series_sources.csv does not, for a series.
with

specifications as (
    select
        specification_id,
        providers,
        regexp_extract(options, '(?:instrument|second)=([^@ ]+)@', 1) as second_measure,
        regexp_extract(options, '(?:instrument|second)=[^@ ]+@(\S+)', 1) as second_provider
    from {{ ref('regression_specifications') }}
),

named as (
    select
        specification_id,
        split_part(choice, '=', 1) as series,
        split_part(choice, '=', 2) as provider
    from (
        select
            specification_id,
            unnest(string_split(providers, ' ')) as choice
        from specifications
    ) as choices
    union all
    select
        specifications.specification_id,
        weightings.base_series as series,
        specifications.second_provider as provider
    from specifications
    left join {{ ref('measure_weightings') }} as weightings on specifications.second_measure = weightings.measure
    where specifications.second_measure <> ''
)

select distinct named.*
from named
left join {{ ref('int_series_sources') }} as sources
    on
        named.series = sources.series
        and named.provider = sources.provider
where sources.provider is null
