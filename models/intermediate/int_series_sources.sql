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
        -- A row that names the series comes before its provider's star.
        row_number() over (
            partition by series.series, sources.scope, sources.provider order by sources.series = '*'
        ) as row_order
    from series
    left join counts using (series)
    inner join sources
        on
            series.series = sources.series
            or (sources.series = '*' and counts.series is null)
),

final as (
    select * exclude (row_order)
    from named
    where row_order = 1
)

select * from final
