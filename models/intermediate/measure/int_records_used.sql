{{ config(materialized='ephemeral') }}

with

-- What was used, or was until a later delivery.
final as (
    select
        * exclude (
            entity, provider, source_name, city_code, city_name, province_name, county_code, set_aside_reason,
            correction_id, patent_type, application_count, grant_count, ai_application_count, ai_grant_count
        ),
        application_count as invention_application_count,
        grant_count as invention_grant_count,
        ai_application_count as ai_invention_application_count,
        ai_grant_count as ai_invention_grant_count
    from {{ ref('int_records_conformed') }}
    where
        (
            set_aside_reason is null
            or (
                set_aside_reason in ('superseded', 'withdrawn')
                and city_id is not null
                and year between {{ period('first_year') }} and {{ period('last_year') }}
            )
        )
        and (entity <> 'patents' or patent_type = 'invention')
)

select * from final
