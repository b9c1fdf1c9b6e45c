-- The model contract determines the columns of this wide panel, which analysts read and the gate judges. The columns of
-- type double or bigint are pivoted from values by city, year and variable. Regressions take the city-years from this
-- panel and the values from fct_city_year_values, which contains every series, so a new series needs no column here.
{%- set facts = [] %}
{%- for column in model.columns.values() if column.data_type in ('double', 'bigint') %}
{%- do facts.append(column) %}
{%- endfor %}

with

city_year_values as (
    select * from {{ ref('fct_city_year_values') }}
),

default_measures as (
    select * from {{ ref('fct_ai_measure') }}
    where
        scope = '{{ var("default_measure").scope }}'
        and weighting = '{{ var("default_measure").weighting }}'
),

cities as (
    select * from {{ ref('dim_city') }}
),

doubtful as (
    select
        city_id,
        year,
        string_agg(distinct series, ' ' order by series) as doubtful_series
    from {{ ref('fct_doubtful_values') }}
    where
        is_unexplained
        and not contains(series, '@')  -- leaves out the other providers' values, named `series@provider`
    group by city_id, year
),

-- All values, and the default measures under the names of their variables, such as `ln1p_ai_firms_scaled`.
variables as (
    select
        city_id,
        year,
        variable,
        value
    from city_year_values
    {%- for name, column in [
        ("measure || '_weight'", 'weight'),
        ("measure || '_scaled_count'", 'measure_count'),
        ("'ln_' || measure || '_scaled'", 'ln_measure'),
        ("'ln1p_' || measure || '_scaled'", 'ln1p_measure')
    ] %}
    union all
    select
        city_id,
        year,
        {{ name }} as variable,
        {{ column }} as value
    from default_measures
    {%- endfor %}
),

wide as (
    pivot variables
    on variable in (
        {%- for column in facts %}
        '{{ column.config.meta.variable or column.name }}'
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    )
    using max(value)
),

final as (
    select
        {{ extract_set() }} as extract_set,
        wide.city_id,
        wide.year,
        {%- for column in model.columns.values() if column.name not in ('extract_set', 'city_id', 'year') %}
        {%- set ratio = column.config.meta.ratio %}
        {%- if column.name == 'doubtful_series' %}
        doubtful.doubtful_series
        {%- elif column not in facts %}
        cities.{{ column.name }}
        {%- elif ratio %}
        wide.{{ ratio[0] }} / nullif(wide.{{ ratio[1] }}, 0) as {{ column.name }}
        {%- else %}
        cast(wide.{{ column.config.meta.variable or column.name }} as {{ column.data_type }}) as {{ column.name }}
        {%- endif %}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from wide
    inner join cities using (city_id)
    left join doubtful using (city_id, year)
)

select * from final
