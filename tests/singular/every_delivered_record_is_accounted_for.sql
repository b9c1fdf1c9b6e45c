-- Data records of a file = rows used + rows set aside.
with

accounted as (
    select
        file_path,
        sum(row_count) as row_count
    from {{ ref('fct_row_accounting') }}
    group by file_path
)

select
    deliveries.file_path,
    deliveries.record_count,
    accounted.row_count
from {{ ref('raw_deliveries') }} as deliveries
left join accounted on deliveries.file_path = accounted.file_path
where
    deliveries.source_name is not null
    and deliveries.record_count <> coalesce(accounted.row_count, 0)
