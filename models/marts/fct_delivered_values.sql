{{ config(materialized='view') }}

{%- set keys = 'origin, city_id, year, industry_code' %}
with

-- Records in use, and records that were in use until a later delivery replaced them.
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

-- Cities of each province, by series delivered by province, to assign the province's value to each city.
of_provinces as (
    select
        sources.series,
        sources.provider,
        cities.province_id,
        cities.city_id
    from {{ ref('int_series_sources') }} as sources
    inner join {{ ref('cities') }} as cities on sources.boundaries = 'province'
),

placed as (
    select delivered.* replace (coalesce(of_provinces.city_id, delivered.city_id) as city_id)
    from delivered
    left join of_provinces
        on
            delivered.series = of_provinces.series
            and delivered.origin.provider = of_provinces.provider
            and delivered.city_id = of_provinces.province_id
),

moved as (
    select distinct
        provider,
        source_name,
        series,
        delivered_city_id,
        year,
        city_id
    from {{ ref('int_series_corrected') }}
    where city_id <> delivered_city_id
),

mergers as (
    select
        from_city_id,
        to_city_id
    from {{ ref('city_changes') }}
    where kind = 'merger'
),

final as (
    select
        -- A subquery reads the extract set, because the macro extract_set() returns a literal, which would be fixed
        -- when the view is created.
        (select max(deliveries.extract_set) from {{ ref('raw_deliveries') }} as deliveries) as extract_set,
        placed.series,
        placed.city_id,
        cities.name_zh,
        cities.name_en,
        cities.province_name_zh,
        cities.province_name_en,
        coalesce(mergers.to_city_id, moved.city_id, placed.city_id) as value_city_id,
        cast(placed.year as integer) as year,
        placed.industry_code,
        industries.section,
        placed.delivered_value,
        placed.origin.provider,
        placed.origin.source_name,
        placed.origin.file_path,
        placed.origin.sheet_name,
        placed.origin.row_number,
        placed.origin.delivery_number,
        placed.origin.delivery_id,
        placed.origin.valid_from_delivery,
        placed.origin.valid_until_delivery
    from placed
    left join {{ ref('industries') }} as industries using (industry_code)
    left join {{ ref('dim_city') }} as cities on placed.city_id = cities.city_id
    left join moved
        on
            placed.origin.provider = moved.provider
            and placed.origin.source_name = moved.source_name
            and placed.series = moved.series
            and placed.city_id = moved.delivered_city_id
            and placed.year = moved.year
    left join mergers on coalesce(moved.city_id, placed.city_id) = mergers.from_city_id
)

select * from final
