with

conformed as (
    select * from {{ ref('int_series_corrected') }}
    where scope = 'total'
),

final as (
    select
        provider,
        city_id,
        year,
        series,
        count(*) - 1 as duplicate_record_count
    from conformed
    group by provider, city_id, year, series
)

select * from final
