with

yearbook as (
    select
        * exclude (
            delivery_id, file_path, sheet_name, row_number, city_code, city_name, province_name, set_aside_reason
        ),
        'total' as scope
    from {{ ref('int_city_yearbook_conformed') }}
    where set_aside_reason is null
),

firms as (
    select
        *,
        cast(null as varchar) as source_name
    from {{ ref('int_firm_counts') }}
),

patents as (
    select
        *,
        cast(null as varchar) as source_name
    from {{ ref('int_patent_counts') }}
),

{%- for relation in ['yearbook', 'firms', 'patents'] %}

{{ relation }}_long as (
    unpivot (
        select
            extract_set,
            provider,
            source_name,
            city_id,
            year,
            scope,
            cast(columns(* exclude (extract_set, provider, source_name, city_id, year, scope)) as double)
        from {{ relation }}
    )
    on columns(* exclude (extract_set, provider, source_name, city_id, year, scope))
    into name series value value
),
{%- endfor %}

final as (
    select * from yearbook_long
    union all by name
    select * from firms_long
    union all by name
    select * from patents_long
)

select * from final
