with

-- Usable records that are reported by industry; a source delivers one record per city or county.
records as (
    select * from {{ ref('int_records_conformed') }}
    where
        industry_code is not null
        and set_aside_reason is null
        and (entity <> 'patents' or patent_type = 'invention')
),

cities as (
    select * from {{ ref('dim_city') }}
),

industries as (
    select * from {{ ref('industries') }}
),

summed as (
    select
        provider,
        source_name,
        city_id,
        cast(year as integer) as year,
        industry_code,
        {{ complete_sum('firm_count') }} as firm_count,
        {{ complete_sum('firm_entry_count') }} as firm_entry_count,
        {{ complete_sum('firm_exit_count') }} as firm_exit_count,
        {{ complete_sum('ai_firm_count') }} as ai_firm_count,
        {{ complete_sum('ai_firm_entry_count') }} as ai_firm_entry_count,
        {{ complete_sum('ai_firm_exit_count') }} as ai_firm_exit_count,
        {{ complete_sum('application_count') }} as invention_application_count,
        {{ complete_sum('grant_count') }} as invention_grant_count,
        {{ complete_sum('ai_application_count') }} as ai_invention_application_count,
        {{ complete_sum('ai_grant_count') }} as ai_invention_grant_count
    from records
    group by provider, source_name, city_id, year, industry_code
),

final as (
    select
        {{ extract_set() }} as extract_set,
        summed.*,
        cities.name_zh,
        cities.name_en,
        cities.province_id,
        cities.province_name_zh,
        cities.province_name_en,
        industries.section,
        industries.section_name_zh,
        industries.industry_name_zh
    from summed
    inner join industries using (industry_code)
    left join cities using (city_id)
)

select * from final
