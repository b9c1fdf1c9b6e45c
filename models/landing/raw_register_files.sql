{{ config(materialized='table') }}

with

-- Information that a provider's registers lack, such as exit dates (`lacks`). A provider's registers share one staging
-- model, so the declaration applies to all of them.
declared as (
    select
        provider,
        entity,
        max(lacks) as lacks
    from {{ ref('raw_declared_sources') }}
    group by provider, entity
),

final as (
    select
        deliveries.extract_set,
        deliveries.entity,
        cast(
            row_number() over (order by deliveries.entity, deliveries.provider, deliveries.file_path) as integer
        ) as file_number,
        deliveries.provider,
        deliveries.source_name,
        deliveries.delivery_number,
        deliveries.file_path,
        deliveries.store_key,
        coalesce(declared.lacks like '%exit%', false) as lacks_exit,
        coalesce(declared.lacks like '%industry%', false) as lacks_industry,
        coalesce(declared.lacks like '%counts%', false) as is_sample
    from {{ ref('raw_deliveries') }} as deliveries
    left join declared
        on
            deliveries.provider = declared.provider
            and deliveries.entity = declared.entity
    where
        deliveries.entity in ('firm_register', 'patent_register')
        and deliveries.valid_until_delivery is null
        and deliveries.copy_of_delivery is null
)

select * from final
