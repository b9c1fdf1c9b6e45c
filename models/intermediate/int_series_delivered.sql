{{ config(materialized='ephemeral') }}

with

yearbook as (
    select
        * exclude (
            entity, origin, city_code, city_name, province_name, county_code, industry_code, patent_type,
            set_aside_reason, correction_id
        ),
        'total' as scope
    from {{ ref('int_records_conformed') }}
    where
        entity = 'city_yearbook'
        and set_aside_reason is null
    union all by name
    -- Where no record of a key is right, the city has no value: it is missing, not absent.
    select distinct
        provider,
        source_name,
        city_id,
        year,
        'total' as scope
    from {{ ref('int_records_conformed') }}
    where
        entity = 'city_yearbook'
        and set_aside_reason = 'contradicting records'
),

firms as (
    select * from {{ ref('int_firm_counts') }}
),

patents as (
    select * from {{ ref('int_patent_counts') }}
),

{%- for relation in ['yearbook', 'firms', 'patents'] %}

{{ relation }}_wide as (
    select
        provider,
        source_name,
        city_id,
        year,
        scope,
        cast(columns(* exclude (provider, source_name, city_id, year, scope)) as double)
    from {{ relation }}
),

{{ relation }}_long as (
    select *
    from {{ relation }}_wide
    unpivot include nulls (
        value for series in (columns(* exclude (provider, source_name, city_id, year, scope)))
    )
),
{%- endfor %}

long as (
    select * from yearbook_long
    union all by name
    select * from firms_long
    union all by name
    select * from patents_long
),

delivered_series as (
    select
        provider,
        source_name,
        series,
        scope
    from long
    group by provider, source_name, series, scope
    having count(value) > 0
),

-- A value that a source delivers elsewhere and not here is a row without a value: it is missing, not absent.
final as (
    select long.*
    from long
    inner join delivered_series using (provider, source_name, series, scope)
)

select * from final
