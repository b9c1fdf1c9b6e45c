-- A new series needs no column here: fct_city_year_values has it.
{%- set totals = [
    'gdp_100m_cny', 'secondary_value_added_100m_cny', 'primary_value_added_100m_cny',
    'tertiary_value_added_100m_cny', 'gdp_per_capita_cny', 'registered_population_10k', 'resident_population_10k',
    'resident_population_interpolated_10k', 'unit_employment_10k', 'secondary_employment_10k',
    'manufacturing_employment_10k', 'rd_personnel_count', 'above_scale_firm_count', 'loans_100m_cny', 'fdi_1m_usd',
    'education_spending_100m_cny', 'science_spending_100m_cny'
] %}
{%- set counts = [
    'firm_count', 'firm_entry_count', 'firm_exit_count', 'ai_firm_count', 'ai_firm_entry_count',
    'ai_firm_exit_count', 'invention_application_count', 'invention_grant_count', 'ai_invention_application_count',
    'ai_invention_grant_count'
] %}
{%- set measures = ['ai_firms', 'ai_patent_applications', 'ai_patent_grants'] %}
{%- set logs = [
    'ln_gdp', 'ln_secondary_value_added', 'ln_secondary_share_of_gdp', 'ln_secondary_productivity',
    'ln_gdp_per_capita', 'ln_gdp_per_registered_resident', 'ln_registered_population', 'ln_resident_population',
    'ln_unit_employment', 'ln_secondary_employment', 'ln_manufacturing_employment', 'ln_rd_personnel',
    'ln_above_scale_firms', 'ln_loans', 'ln_fdi', 'ln_education_spending', 'ln_science_spending'
] %}

with

city_year_values as (
    select * from {{ ref('fct_city_year_values') }}
),

default_measures as (
    select * from {{ ref('fct_ai_measure') }}
    where
        scope = 'industry'
        and weighting = 'fixed_ratio'
),

cities as (
    select * from {{ ref('dim_city') }}
),

measures as (
    select
        city_id,
        year,
        {%- for name in measures %}
        max(case when measure = '{{ name }}' then weight end) as {{ name }}_weight,
        max(case when measure = '{{ name }}' then measure_count end) as {{ name }}_scaled_count,
        max(case when measure = '{{ name }}' then ln_measure end) as ln_{{ name }}_scaled,
        max(case when measure = '{{ name }}' then ln1p_measure end) as ln1p_{{ name }}_scaled
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from default_measures
    group by city_id, year
),

wide as (
    pivot (
        select
            city_id,
            year,
            variable,
            value
        from city_year_values
    )
    on variable in (
        {%- for name in totals + counts + logs %}
        '{{ name }}'
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    )
    using max(value)
),

final as (
    select
        {{ extract_set() }} as extract_set,
        measures.city_id,
        measures.year,
        cities.name_zh,
        cities.name_en,
        cities.province_id,
        cities.province_name_zh,
        cities.province_name_en,
        cities.region,
        {%- for name in totals %}
        wide.{{ name }},
        {%- endfor %}
        {%- for name in counts %}
        cast(wide.{{ name }} as bigint) as {{ name }},
        {%- endfor %}
        {%- for name in measures %}
        measures.{{ name }}_weight,
        measures.{{ name }}_scaled_count{% if name == 'ai_firms' %} as integration_index{% endif %},
        measures.ln_{{ name }}_scaled,
        measures.ln1p_{{ name }}_scaled,
        {%- endfor %}
        wide.secondary_value_added_100m_cny / nullif(wide.gdp_100m_cny, 0) as secondary_share_of_gdp,
        {%- for name in logs %}
        wide.{{ name }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from measures
    inner join cities using (city_id)
    left join wide using (city_id, year)
)

select * from final
