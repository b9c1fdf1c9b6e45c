{{ config(materialized='view') }}

with

dissolved as (
    select distinct from_city_id as city_id
    from {{ ref('city_changes') }}
    where kind = 'split'
),
{%- for register, id in [('firm_register', 'firm_id'), ('patent_register', 'application_number')] %}

{{ register }} as (
    select
        files.extract_set,
        files.provider,
        files.source_name,
        files.file_path,
        conformed.row_number,
        conformed.{{ id }} as id,
        conformed.city_code,
        case
            when conformed.{{ id }} is null then 'no id'
            when copies.row_number is not null then copies.set_aside_reason
            when conformed.set_aside_reason is not null then conformed.set_aside_reason
            when identifiers.city_id is null then 'unknown city'
            when dissolved.city_id is not null then 'dissolved city, not allocated'
        end as set_aside_reason
    from {{ ref('int_' ~ register ~ '_conformed') }} as conformed
    inner join {{ ref('int_register_files') }} as files
        on
            files.entity = '{{ register }}'
            and conformed.store_key = files.store_key
    left join {{ ref('int_' ~ register ~ '_copies') }} as copies
        on
            conformed.store_key = copies.store_key
            and conformed.row_number = copies.row_number
    left join {{ ref('int_city_identifiers') }} as identifiers
        on
            identifiers.identifier_kind = 'code'
            and conformed.city_code = identifiers.identifier
    left join dissolved on identifiers.city_id = dissolved.city_id
),
{%- endfor %}

final as (
    select * from firm_register
    where set_aside_reason is not null
    union all
    select * from patent_register
    where set_aside_reason is not null
)

select * from final
