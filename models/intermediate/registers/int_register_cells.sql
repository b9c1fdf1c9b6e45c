{%- set cell = 'city_code, section, kind, start_year, end_year' %}

with

ai_rows as (
    select distinct
        store_key,
        row_number
    from {{ ref('int_register_ai_tags') }}
),

-- Cohorts count every row, and rows that are dropped for their id are then taken back from their cell (-1) and given to
-- one with the reason (+1). They are few: joining them to fifty million rows would cost more than the count itself.
parts as (
    select
        store_key,
        {{ cell }},
        set_aside_reason,
        row_count,
        0 as ai_row_count
    from {{ ref('int_register_cohorts') }}
    union all
    select
        store_key,
        {{ cell }},
        other_reason as set_aside_reason,
        -1 as row_count,
        0 as ai_row_count
    from {{ ref('int_register_dropped_rows') }}
    union all
    select
        store_key,
        {{ cell }},
        set_aside_reason,
        1 as row_count,
        0 as ai_row_count
    from {{ ref('int_register_dropped_rows') }}
    union all
    select
        candidates.store_key,
        candidates.city_code,
        candidates.section,
        candidates.kind,
        candidates.start_year,
        candidates.end_year,
        null as set_aside_reason,
        0 as row_count,
        1 as ai_row_count
    from {{ ref('int_register_ai_candidates') }} as candidates
    inner join ai_rows
        on
            candidates.store_key = ai_rows.store_key
            and candidates.row_number = ai_rows.row_number
),

files as (
    select * from {{ ref('raw_register_files') }}
),

-- Grouped by the number of a file: its key has 64 letters.
numbered as (
    select
        files.file_number,
        parts.*
    from parts
    inner join files on parts.store_key = files.store_key
),

summed as (
    select
        file_number,
        {{ cell }},
        set_aside_reason,
        cast(sum(row_count) as bigint) as row_count,
        cast(sum(ai_row_count) as bigint) as ai_row_count
    from numbered
    group by file_number, {{ cell }}, set_aside_reason
),

final as (
    select
        files.entity,
        summed.file_number,
        cities.city_id,
        {%- for column in cell.split(', ') %}
        summed.{{ column }},
        {%- endfor %}
        case
            when summed.set_aside_reason is not null then summed.set_aside_reason
            when cities.city_code is null then 'unknown city'
            else cities.set_aside_reason
        end as set_aside_reason,
        summed.row_count,
        summed.ai_row_count
    from summed
    inner join files on summed.file_number = files.file_number
    left join {{ ref('int_register_cities') }} as cities
        on coalesce({{ city_code_of('summed.city_code') }}, '') = cities.city_code
    where summed.row_count <> 0 or summed.ai_row_count <> 0
)

select * from final
