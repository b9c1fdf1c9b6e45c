with

deliveries as (
    select * from {{ ref('raw_deliveries') }}
    where
        valid_until_delivery is null
        and copy_of_delivery is null
),

accounting as (
    select
        delivery_number,
        sum(case when disposition = 'used' then row_count else 0 end) as used_count,
        sum(case when disposition like 'prose%' then row_count else 0 end) as prose_count,
        sum(case when disposition in ('unknown city', 'ambiguous city name') then row_count else 0 end)
            as unknown_city_count,
        sum(case when disposition = 'ambiguous city name' then row_count else 0 end) as ambiguous_city_count,
        sum(case when disposition in ('duplicate row', 'duplicate id') then row_count else 0 end)
            as duplicate_count,
        -- Whatever else is set aside is a fault, so that a new reason is one until it is declared harmless here.
        sum(
            case
                when disposition like 'prose%' then 0
                when disposition in (
                    'used', 'in no series', 'out of period', 'after the period', 'repeated sheet',
                    'sheet not declared', 'unknown city', 'ambiguous city name', 'dissolved city, not allocated',
                    'duplicate row', 'duplicate id', 'superseded', 'withdrawn'
                ) then 0
                else row_count
            end
        ) as faulty_count
    from {{ ref('fct_row_accounting') }}
    group by delivery_number
),

final as (
    select
        deliveries.extract_set,
        coalesce(deliveries.provider, 'unrecognised') as provider,
        coalesce(deliveries.source_name, 'unrecognised') as source_name,
        cast(sum(deliveries.record_count) as bigint) as record_count,
        coalesce(cast(sum(accounting.used_count) as bigint), 0) as used_count,
        coalesce(cast(sum(accounting.faulty_count) as bigint), 0) as faulty_count,
        -- Counts are sums of records, and one that is lost makes a sum too small without a trace.
        case
            when deliveries.entity in ('firm_survival', 'patents')
                then coalesce(sum(accounting.faulty_count + accounting.ambiguous_city_count), 0)
        end as lost_count_records,
        coalesce(sum(accounting.faulty_count), 0) / nullif(sum(deliveries.record_count), 0) as faulty_share,
        coalesce(sum(accounting.prose_count), 0) / nullif(sum(deliveries.record_count), 0) as prose_share,
        coalesce(sum(accounting.unknown_city_count), 0) / nullif(sum(deliveries.record_count), 0)
            as unknown_city_share,
        coalesce(sum(accounting.duplicate_count), 0) / nullif(sum(deliveries.record_count), 0) as duplicate_share,
        cast(sum(case when deliveries.source_name is null then 1 else 0 end) as bigint) as unrecognised_file_count
    from deliveries
    left join accounting on deliveries.delivery_number = accounting.delivery_number
    group by
        deliveries.extract_set,
        coalesce(deliveries.provider, 'unrecognised'),
        coalesce(deliveries.source_name, 'unrecognised'),
        deliveries.entity
)

select * from final
