-- The join with the corrections must not add rows, which it does if two corrections match one value.
with

delivered as (
    select count(*) as row_count from {{ ref('int_series_delivered') }}
),

corrected as (
    select count(*) as row_count from {{ ref('int_series_corrected') }}
)

select
    delivered.row_count as delivered_row_count,
    corrected.row_count as corrected_row_count
from delivered
cross join corrected
where delivered.row_count <> corrected.row_count
