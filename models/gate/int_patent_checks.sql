with

conformed as (
    select * from {{ ref('int_records_conformed') }}
    where
        entity = 'patents'
        and set_aside_reason is null
),

cells as (
    select
        provider,
        city_id,
        year,
        industry_code,
        patent_type,
        {{ repeated_records() }} as repeated_record_count,
        sum(
            case when ai_application_count > application_count or ai_grant_count > grant_count then 1 else 0 end
        ) as ai_above_all_count
    from conformed
    group by provider, city_id, year, industry_code, patent_type
),

final as (
    select
        provider,
        city_id,
        year,
        sum(repeated_record_count) as duplicate_record_count,
        sum(ai_above_all_count) as ai_above_all_count
    from cells
    group by provider, city_id, year
)

select * from final
