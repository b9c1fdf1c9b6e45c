with

variables as (
    select
        variable as name,
        unnest(string_split(series, ' ')) as series
    from {{ ref('derived_variables') }}
),

groupings as (
    select
        grouping as name,
        unnest(string_split(series, ' ')) as series
    from {{ ref('city_groupings') }}
    where series is not null
),

named as (
    select * from variables
    union all
    select * from groupings
)

select named.*
from named
left join {{ ref('series') }} as series on named.series = series.series
where series.series is null
