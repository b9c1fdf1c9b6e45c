with

deliveries as (
    select * from {{ ref('raw_deliveries') }}
),

rejected as (
    select
        file_path,
        sum(case when column_name is not null then 1 else 0 end) as faulty_row_count,
        sum(case when reason like 'prose%' then 1 else 0 end) as prose_row_count
    from {{ ref('raw_rejected_rows') }}
    group by file_path
),

set_aside as (
    select
        file_path,
        sum(case when set_aside_reason in ('unknown city', 'ambiguous city name') then 1 else 0 end)
            as unknown_city_count,
        sum(case when set_aside_reason = 'duplicate row' then 1 else 0 end) as duplicate_count
    from {{ ref('fct_rows_set_aside') }}
    group by file_path
),

final as (
    select
        deliveries.extract_set,
        coalesce(deliveries.provider, 'unrecognised') as provider,
        coalesce(deliveries.source_name, 'unrecognised') as source_name,
        cast(sum(deliveries.record_count) as bigint) as record_count,
        coalesce(sum(rejected.faulty_row_count), 0) / nullif(sum(deliveries.record_count), 0) as faulty_share,
        coalesce(sum(rejected.prose_row_count), 0) / nullif(sum(deliveries.record_count), 0) as prose_share,
        coalesce(sum(set_aside.unknown_city_count), 0) / nullif(sum(deliveries.record_count), 0)
            as unknown_city_share,
        coalesce(sum(set_aside.duplicate_count), 0) / nullif(sum(deliveries.record_count), 0) as duplicate_share,
        cast(sum(case when deliveries.source_name is null then 1 else 0 end) as bigint) as unrecognised_file_count
    from deliveries
    left join rejected on deliveries.file_path = rejected.file_path
    left join set_aside on deliveries.file_path = set_aside.file_path
    group by
        deliveries.extract_set,
        coalesce(deliveries.provider, 'unrecognised'),
        coalesce(deliveries.source_name, 'unrecognised')
)

select * from final
