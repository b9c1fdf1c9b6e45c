-- Return specifications that name a provider for a series although series_sources.csv does not list the provider for
-- this series.
select
    named.specification_id,
    named.quantity,
    named.series
from {{ ref('dim_specification_series') }} as named
where
    named.series <> named.quantity
    and named.series not in (
        select sources.series || '@' || sources.provider
        from {{ ref('int_series_sources') }} as sources
    )
