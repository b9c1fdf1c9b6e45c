with

yearbook as (
    select
        * exclude (
            delivery_number, delivery_id, file_path, sheet_name, row_number, valid_from_delivery, valid_until_delivery,
            city_code, city_name, province_name, county_code, set_aside_reason
        ),
        'total' as scope
    from {{ ref('int_city_yearbook_conformed') }}
    where set_aside_reason is null
),

firms as (
    select
        current_extract_set() as extract_set,
        *
    from {{ ref('int_firm_counts') }}
),

patents as (
    select
        current_extract_set() as extract_set,
        *
    from {{ ref('int_patent_counts') }}
),

{%- for relation in ['yearbook', 'firms', 'patents'] %}

{{ relation }}_wide as (
    select
        extract_set,
        provider,
        source_name,
        city_id,
        year,
        scope,
        cast(columns(* exclude (extract_set, provider, source_name, city_id, year, scope)) as double)
    from {{ relation }}
),

{{ relation }}_long as (
    select *
    from {{ relation }}_wide
    unpivot include nulls (
        value for series in (columns(* exclude (extract_set, provider, source_name, city_id, year, scope)))
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
    inner join delivered_series
        on
            long.provider = delivered_series.provider
            and long.source_name = delivered_series.source_name
            and long.series = delivered_series.series
            and long.scope = delivered_series.scope
)

select * from final
