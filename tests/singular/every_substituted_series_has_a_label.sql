-- A series that a substitute may feed, and no label that says what it is then.
select
    sources.series,
    sources.provider
from {{ ref('series_sources') }} as sources
left join {{ ref('substituted_labels') }} as labels
    on
        labels.kind = 'series'
        and sources.series = labels.series
        and sources.provider = labels.provider
where
    sources.substitution is not null
    and labels.label_en is null
