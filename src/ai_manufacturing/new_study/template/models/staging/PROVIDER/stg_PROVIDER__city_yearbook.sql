<%- macro first_of(headings) %>
<% set names = headings | select | unique | map("json") | list %>
<< "coalesce(" ~ names | join(", ") ~ ")" if names[1:] else names[0] >>
<%- endmacro %>
-- depends_on: {{ source('delivered', '<< study.provider >>') }}
select
    origin,
<% for name, headings in [
    ("city_code", study.files | map(attribute="region_code") | list),
    ("city_name", study.files | map(attribute="region_name") | list),
    ("year", study.files | map(attribute="year") | list),
] if headings | select | list %>
    << first_of(headings) >> as << name >>,
<% endfor %>
<% for series in study.series.values() %>
    << series.heading | json >><< " * " ~ series.times if series.times != 1 >> as << series.name >><< "," if not loop.last >>
<% endfor %>
from {{ ref('raw_city_yearbook') }}
where origin.provider = '<< study.provider >>'
