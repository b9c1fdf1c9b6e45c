-- Fail if joining the corrections changes the number of rows, because two corrections of one value would duplicate the
-- value.
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
