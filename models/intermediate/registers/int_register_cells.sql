with

ai_rows as (
    select distinct
        store_key,
        row_number
    from {{ ref('int_register_ai_tags') }}
),

-- int_register_cohorts counts every row. The few rows dropped for a duplicate id are subtracted from their cell (-1)
-- and added to the cell of the reason (+1), because joining them to fifty million rows would cost more than the count
-- itself.
parts as (
    select
        {{ cell_columns() }},
        set_aside_reason,
        row_count,
        0 as ai_row_count
    from {{ ref('int_register_cohorts') }}
    union all
    select
        {{ cell_columns() }},
        other_reason as set_aside_reason,
        -1 as row_count,
        0 as ai_row_count
    from {{ ref('int_register_dropped_rows') }}
    union all
    select
        {{ cell_columns() }},
        set_aside_reason,
        1 as row_count,
        0 as ai_row_count
    from {{ ref('int_register_dropped_rows') }}
    union all
    select
        {{ cell_columns() }},
        null as set_aside_reason,
        0 as row_count,
        1 as ai_row_count
    from {{ ref('int_register_ai_candidates') }}
    inner join ai_rows using (store_key, row_number)
),

summed as (
    select
        {{ cell_columns() }},
        set_aside_reason,
        cast(sum(row_count) as bigint) as row_count,
        cast(sum(ai_row_count) as bigint) as ai_row_count
    from parts
    group by {{ cell_columns() }}, set_aside_reason
),

final as (
    select
        summed.entity,
        summed.store_key,
        places.city_id,
        summed.city_code,
        summed.section,
        summed.kind,
        summed.start_year,
        summed.end_year,
        coalesce(summed.set_aside_reason, places.set_aside_reason) as set_aside_reason,
        summed.row_count,
        summed.ai_row_count
    from summed
    left join {{ ref('int_register_places') }} as places on coalesce(summed.city_code, '') = places.city_code
    where summed.row_count <> 0 or summed.ai_row_count <> 0
)

select * from final
