with

series as (
    select * from {{ ref('int_series_conformed') }}
    where scope in ('total', 'industry')
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
        max(case when measure = 'ai_firms' then weight end) as ai_firms_weight,
        max(case when measure = 'ai_firms' then measure_count end) as ai_firms_scaled_count,
        max(case when measure = 'ai_firms' then ln_measure end) as ln_ai_firms_scaled,
        max(case when measure = 'ai_firms' then ln1p_measure end) as ln1p_ai_firms_scaled,
        max(case when measure = 'ai_patent_applications' then weight end) as ai_patent_applications_weight,
        max(case when measure = 'ai_patent_applications' then measure_count end)
            as ai_patent_applications_scaled_count,
        max(case when measure = 'ai_patent_applications' then ln_measure end) as ln_ai_patent_applications_scaled,
        max(case when measure = 'ai_patent_applications' then ln1p_measure end)
            as ln1p_ai_patent_applications_scaled,
        max(case when measure = 'ai_patent_grants' then weight end) as ai_patent_grants_weight,
        max(case when measure = 'ai_patent_grants' then measure_count end) as ai_patent_grants_scaled_count,
        max(case when measure = 'ai_patent_grants' then ln_measure end) as ln_ai_patent_grants_scaled,
        max(case when measure = 'ai_patent_grants' then ln1p_measure end) as ln1p_ai_patent_grants_scaled
    from default_measures
    group by city_id, year
),

wide as (
    select
        city_id,
        year,
        max(case when series = 'gdp_100m_cny' then value end) as gdp_100m_cny,
        max(case when series = 'secondary_value_added_100m_cny' then value end) as secondary_value_added_100m_cny,
        max(case when series = 'primary_value_added_100m_cny' then value end) as primary_value_added_100m_cny,
        max(case when series = 'tertiary_value_added_100m_cny' then value end) as tertiary_value_added_100m_cny,
        max(case when series = 'gdp_per_capita_cny' then value end) as gdp_per_capita_cny,
        max(case when series = 'registered_population_10k' then value end) as registered_population_10k,
        max(case when series = 'resident_population_10k' then value end) as resident_population_10k,
        max(case when series = 'resident_population_interpolated_10k' then value end)
            as resident_population_interpolated_10k,
        max(case when series = 'unit_employment_10k' then value end) as unit_employment_10k,
        max(case when series = 'secondary_employment_10k' then value end) as secondary_employment_10k,
        max(case when series = 'manufacturing_employment_10k' then value end) as manufacturing_employment_10k,
        max(case when series = 'rd_personnel_count' then value end) as rd_personnel_count,
        max(case when series = 'above_scale_firm_count' then value end) as above_scale_firm_count,
        max(case when series = 'loans_100m_cny' then value end) as loans_100m_cny,
        max(case when series = 'fdi_1m_usd' then value end) as fdi_1m_usd,
        max(case when series = 'education_spending_100m_cny' then value end) as education_spending_100m_cny,
        max(case when series = 'science_spending_100m_cny' then value end) as science_spending_100m_cny,
        max(case when series = 'firm_count' then value end) as firm_count,
        max(case when series = 'firm_entry_count' then value end) as firm_entry_count,
        max(case when series = 'firm_exit_count' then value end) as firm_exit_count,
        max(case when series = 'ai_firm_count' then value end) as ai_firm_count,
        max(case when series = 'ai_firm_entry_count' then value end) as ai_firm_entry_count,
        max(case when series = 'ai_firm_exit_count' then value end) as ai_firm_exit_count,
        max(case when series = 'invention_application_count' then value end) as invention_application_count,
        max(case when series = 'invention_grant_count' then value end) as invention_grant_count,
        max(case when series = 'ai_invention_application_count' then value end) as ai_invention_application_count,
        max(case when series = 'ai_invention_grant_count' then value end) as ai_invention_grant_count
    from series
    group by city_id, year
),

final as (
    select
        current_extract_set() as extract_set,
        measures.city_id,
        measures.year,
        cities.name_zh,
        cities.province_id,
        cities.region,
        wide.gdp_100m_cny,
        wide.secondary_value_added_100m_cny,
        wide.primary_value_added_100m_cny,
        wide.tertiary_value_added_100m_cny,
        wide.gdp_per_capita_cny,
        wide.registered_population_10k,
        wide.resident_population_10k,
        wide.resident_population_interpolated_10k,
        wide.unit_employment_10k,
        wide.secondary_employment_10k,
        wide.manufacturing_employment_10k,
        wide.rd_personnel_count,
        wide.above_scale_firm_count,
        wide.loans_100m_cny,
        wide.fdi_1m_usd,
        wide.education_spending_100m_cny,
        wide.science_spending_100m_cny,
        cast(wide.firm_count as bigint) as firm_count,
        cast(wide.firm_entry_count as bigint) as firm_entry_count,
        cast(wide.firm_exit_count as bigint) as firm_exit_count,
        cast(wide.ai_firm_count as bigint) as ai_firm_count,
        cast(wide.ai_firm_entry_count as bigint) as ai_firm_entry_count,
        cast(wide.ai_firm_exit_count as bigint) as ai_firm_exit_count,
        cast(wide.invention_application_count as bigint) as invention_application_count,
        cast(wide.invention_grant_count as bigint) as invention_grant_count,
        cast(wide.ai_invention_application_count as bigint) as ai_invention_application_count,
        cast(wide.ai_invention_grant_count as bigint) as ai_invention_grant_count,
        measures.ai_firms_weight,
        measures.ai_firms_scaled_count,
        measures.ln_ai_firms_scaled,
        measures.ln1p_ai_firms_scaled,
        measures.ai_patent_applications_weight,
        measures.ai_patent_applications_scaled_count,
        measures.ln_ai_patent_applications_scaled,
        measures.ln1p_ai_patent_applications_scaled,
        measures.ai_patent_grants_weight,
        measures.ai_patent_grants_scaled_count,
        measures.ln_ai_patent_grants_scaled,
        measures.ln1p_ai_patent_grants_scaled,
        wide.secondary_value_added_100m_cny / nullif(wide.gdp_100m_cny, 0) as secondary_share_of_gdp,
        {{ log_of('wide.gdp_100m_cny') }} as ln_gdp,
        {{ log_of('wide.secondary_value_added_100m_cny') }} as ln_secondary_value_added,
        {{ log_of('wide.secondary_value_added_100m_cny / nullif(wide.gdp_100m_cny, 0)') }} as ln_secondary_share_of_gdp,
        {{ log_of('wide.secondary_value_added_100m_cny / nullif(wide.secondary_employment_10k, 0)') }}
            as ln_secondary_productivity,
        {{ log_of('wide.gdp_per_capita_cny') }} as ln_gdp_per_capita,
        {{ log_of('wide.gdp_100m_cny / nullif(wide.registered_population_10k, 0)') }} as ln_gdp_per_registered_resident,
        {{ log_of('wide.registered_population_10k') }} as ln_registered_population,
        {{ log_of('wide.resident_population_10k') }} as ln_resident_population,
        {{ log_of('wide.unit_employment_10k') }} as ln_unit_employment,
        {{ log_of('wide.secondary_employment_10k') }} as ln_secondary_employment,
        {{ log_of('wide.manufacturing_employment_10k') }} as ln_manufacturing_employment,
        {{ log_of('wide.rd_personnel_count') }} as ln_rd_personnel,
        {{ log_of('wide.above_scale_firm_count') }} as ln_above_scale_firms,
        {{ log_of('wide.loans_100m_cny') }} as ln_loans,
        {{ log_of('wide.fdi_1m_usd') }} as ln_fdi,
        {{ log_of('wide.education_spending_100m_cny') }} as ln_education_spending,
        {{ log_of('wide.science_spending_100m_cny') }} as ln_science_spending
    from measures
    inner join cities on measures.city_id = cities.city_id
    left join wide
        on
            measures.city_id = wide.city_id
            and measures.year = wide.year
)

select * from final
