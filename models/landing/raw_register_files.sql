{{ config(materialized='table') }}

with

final as (
    select
        extract_set,
        entity,
        cast(row_number() over (order by entity, provider, file_path) as integer) as file_number,
        provider,
        source_name,
        delivery_number,
        file_path,
        store_key
    from {{ ref('raw_deliveries') }}
    where
        entity in ('firm_register', 'patent_register')
        and valid_until_delivery is null
        and copy_of_delivery is null
)

select * from final
