{{ config(materialized='view') }}

with
{%- for register, id in [('firm_register', 'firm_id'), ('patent_register', 'application_number')] %}

{{ register }} as (
    select
        -- A view is read where the function is not.
        (select max(deliveries.extract_set) from {{ ref('raw_deliveries') }} as deliveries) as extract_set,
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
            else {{ register_city_reason('conformed.city_code') }}
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
    {{ register_city_joins('conformed.city_code') }}
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
