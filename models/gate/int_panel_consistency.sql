-- One row per city-year. Each column is a growth factor or a ratio of two series, as declared under `meta` in the
-- model's property file.
with

panel as (
    select * from {{ ref('fct_city_year_panel') }}
),

final as (
    select
        city_id,
        year
        {%- for column in model.columns.values() if column.config.meta %}
        {%- set meta = column.config.meta %}
        {%- if meta.growth_of %},
        {{ meta.growth_of }} / nullif(lag({{ meta.growth_of }}) over city_years, 0) as {{ column.name }}
        {%- else %},
        ({{ meta.sum_of | join(' + ') }}) * {{ meta.times or 1 }}
        {%- for divisor in meta.over %}
        / nullif({{ divisor }}, 0)
        {%- endfor %} as {{ column.name }}
        {%- endif %}
        {%- endfor %}
    from panel
    window city_years as (partition by city_id order by year)
)

select * from final
