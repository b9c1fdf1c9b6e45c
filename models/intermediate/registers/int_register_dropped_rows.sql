with

files as (
    select * from {{ ref('raw_register_files') }}
),

-- Doubtful rows with their delivery number, which is cheaper to sort by than the 64-character store key.
numbered as (
    select
        files.delivery_number,
        doubtful.entity,
        doubtful.row_number,
        doubtful.record_id,
        doubtful.city_code,
        doubtful.section,
        doubtful.kind,
        doubtful.start_year,
        doubtful.end_year,
        doubtful.set_aside_reason
    from {{ ref('int_register_doubtful_rows') }} as doubtful
    inner join files on doubtful.store_key = files.store_key
    where doubtful.row_number is not null
),

-- Rank the rows that share an id. The latest delivery takes precedence, and within the delivery the first usable row.
ranked as (
    select
        *,
        first_value(delivery_number) over best_first as latest_delivery_number,
        first_value(city_code) over best_first as first_city_code,
        first_value(section) over best_first as first_section,
        first_value(kind) over best_first as first_kind,
        first_value(start_year) over best_first as first_start_year,
        first_value(end_year) over best_first as first_end_year,
        row_number() over best_first as place
    from numbered
    window best_first as (
        partition by entity, record_id
        order by delivery_number desc, case when set_aside_reason is null then 0 else 1 end asc, row_number asc
    )
),

final as (
    select
        ranked.entity,
        files.store_key,
        ranked.row_number,
        ranked.record_id,
        ranked.city_code,
        ranked.section,
        ranked.kind,
        ranked.start_year,
        ranked.end_year,
        ranked.set_aside_reason as other_reason,
        case
            when ranked.record_id is null then 'no id'
            when ranked.delivery_number < ranked.latest_delivery_number then 'superseded'
            when
                (ranked.city_code is distinct from ranked.first_city_code)
                or (ranked.section is distinct from ranked.first_section)
                or (ranked.kind is distinct from ranked.first_kind)
                or (ranked.start_year is distinct from ranked.first_start_year)
                or (ranked.end_year is distinct from ranked.first_end_year)
                then 'contradicting id'
            else 'duplicate id'
        end as set_aside_reason
    from ranked
    inner join files on ranked.delivery_number = files.delivery_number
    where
        ranked.record_id is null
        or ranked.delivery_number < ranked.latest_delivery_number
        or (ranked.place > 1 and ranked.set_aside_reason is null)
)

select * from final
