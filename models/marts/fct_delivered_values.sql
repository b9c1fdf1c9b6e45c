{{ config(materialized='view') }}

{%- set keys = 'origin, city_id, year, industry_code' %}
with

-- What was used, or was until a later delivery.
used as (
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
),

delivered as (
    unpivot (
        select
            {{ keys }},
            cast(columns(* exclude ({{ keys }})) as double)
        from used
    )
    on columns(* exclude ({{ keys }}))
    into name series value delivered_value
),

final as (
    select
        -- A view is read where the function is not.
        (select max(deliveries.extract_set) from {{ ref('raw_deliveries') }} as deliveries) as extract_set,
        delivered.series,
        delivered.city_id,
        cities.name_zh,
        cities.name_en,
        cities.province_name_zh,
        cities.province_name_en,
        cast(delivered.year as integer) as year,
        delivered.industry_code,
        industries.section,
        delivered.delivered_value,
        delivered.origin.provider,
        delivered.origin.source_name,
        delivered.origin.file_path,
        delivered.origin.sheet_name,
        delivered.origin.row_number,
        delivered.origin.delivery_number,
        delivered.origin.delivery_id,
        delivered.origin.valid_from_delivery,
        delivered.origin.valid_until_delivery
    from delivered
    left join {{ ref('industries') }} as industries using (industry_code)
    left join {{ ref('dim_city') }} as cities on delivered.city_id = cities.city_id
)

select * from final
