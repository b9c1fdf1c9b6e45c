with

sources as (
    select * from {{ ref('series_sources') }}
),

series as (
    select * from {{ ref('series') }}
),

counts as (
    select distinct series
    from sources
    where scope <> 'total'
),

named as (
    select
        series.series,
        sources.* exclude (series),  -- noqa: RF02
        sources.series = '*' as is_star
    from series
    left join counts using (series)
    inner join sources
        on
            series.series = sources.series
            or (sources.series = '*' and counts.series is null)
),

-- In series_sources.csv, a row that names a series overrides the provider's wildcard row (`*`), and ranks before the
-- wildcard rows of all providers.
ordered as (
    select
        * replace (
            cast(dense_rank() over (partition by series, scope order by is_star, priority) as integer) as priority
        ),
        row_number() over (partition by series, scope, provider order by is_star) as row_order
    from named
),

final as (
    select * exclude (is_star, row_order)
    from ordered
    where row_order = 1
)

select * from final
