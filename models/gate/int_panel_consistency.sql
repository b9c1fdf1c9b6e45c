with

panel as (
    select * from {{ ref('fct_city_year_panel') }}
),

final as (
    select
        city_id,
        year,
        gdp_100m_cny / nullif(lag(gdp_100m_cny) over city_years, 0) as gdp_growth_factor,
        resident_population_10k / nullif(lag(resident_population_10k) over city_years, 0)
            as resident_population_growth_factor,
        unit_employment_10k / nullif(lag(unit_employment_10k) over city_years, 0) as unit_employment_growth_factor,
        firm_count / nullif(lag(firm_count) over city_years, 0) as firm_growth_factor,
        (primary_value_added_100m_cny + secondary_value_added_100m_cny + tertiary_value_added_100m_cny)
        / nullif(gdp_100m_cny, 0) as sector_sum_share,
        gdp_100m_cny * 10000 / nullif(resident_population_10k, 0) / nullif(gdp_per_capita_cny, 0)
            as gdp_per_resident_ratio
    from panel
    window city_years as (partition by city_id order by year)
)

select * from final
