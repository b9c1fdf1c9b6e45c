-- Data records of a delivery = rows used + rows set aside.
with

accounted as (
    select
        delivery_number,
        sum(row_count) as row_count
    from {{ ref('fct_row_accounting') }}
    group by delivery_number
)

select
    deliveries.file_path,
    deliveries.record_count,
    accounted.row_count
from {{ ref('raw_deliveries') }} as deliveries
left join accounted on deliveries.delivery_number = accounted.delivery_number
where
    deliveries.source_name is not null
    and deliveries.record_count <> coalesce(accounted.row_count, 0)
