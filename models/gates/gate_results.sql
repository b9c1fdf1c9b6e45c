with

{%- set suites = [
    'landed_sources', 'deliveries', 'firm_survival', 'patents', 'city_yearbook', 'series_years', 'series_shapes',
    'series_pairs', 'city_year_panel', 'panel_consistency', 'headline_samples'
] %}

final as (
    {%- for suite in suites %}
    select * from {{ ref('gate_' ~ suite) }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
)

select * from final
