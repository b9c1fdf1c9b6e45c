-- Return deliveries in which the number of records differs from the number of rows used plus rows set aside.
with

accounted as (
    select
        file_path,
        delivery_number,
        sum(row_count) as row_count
    from {{ ref('fct_row_accounting') }}
    group by file_path, delivery_number
)

select
    deliveries.file_path,
    deliveries.record_count,
    accounted.row_count
from {{ ref('raw_deliveries') }} as deliveries
left join accounted
    on
        deliveries.file_path = accounted.file_path
        and deliveries.delivery_number is not distinct from accounted.delivery_number
where
    deliveries.source_name is not null
    and deliveries.record_count <> coalesce(accounted.row_count, 0)
