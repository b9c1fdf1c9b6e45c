{%- if target.type == 'spark' %}
{#- A partition is not added to, so all ids are compared anew. #}
{{ config(materialized='table') }}
{%- else %}
{{ kept_by_file() }}
{%- endif %}

{%- set is_new = 'store_key in ' ~ new_files() if is_incremental() else 'true' %}
{%- if is_incremental() %}
{%- set new_ids = 'select min(record_id), max(record_id) from ' ~ ref('int_register_delivered') ~ ' where ' ~ is_new %}
{%- set first_id, last_id = run_query(new_ids).rows[0] %}
{%- endif %}
{%- set rows %}
    select
        entity,
        store_key,
        row_number,
        record_id,
        city_code,
        section,
        kind,
        start_year,
        end_year,
        set_aside_reason
    from {{ ref('int_register_conformed') }}
{%- endset %}

-- Ids are compared first, and whole rows are read of what is found. An id that a firm and a patent share is found too,
-- and kept apart in int_register_dropped_rows. No expression holds the rows of a register for two readers: DuckDB would
-- keep them all.
with

new_ids as (
    select
        record_id,
        count(*) as id_count
    from {{ ref('int_register_delivered') }}
    where
        record_id is not null
        and {{ is_new }}
    group by record_id
),
{%- if is_incremental() %}

older_ids as (
    select record_id
    from {{ ref('int_register_delivered') }}
    where
        not {{ is_new }}
        -- As literals, by which whole parts of older files are passed over: an application number begins with its year.
        and record_id between {{ literal(first_id or '') }} and {{ literal(last_id or '') }}
        and record_id in (select new_ids.record_id from new_ids)
),

older_rows as (
    {{- rows }}
    where
        not {{ is_new }}
        and record_id in (select older_ids.record_id from older_ids)
),
{%- endif %}

repeated as (
    select record_id
    from new_ids
    where id_count > 1
    {%- if is_incremental() %}
    union
    select record_id from older_ids
    {%- endif %}
),

found as (
    {{- rows }}
    where
        {{ is_new }}
        and record_id in (select repeated.record_id from repeated)
    union all
    -- The statistics of Parquet say which row groups lack none.
    {{- rows }}
    where
        {{ is_new }}
        and record_id is null
    {%- if is_incremental() %}
    union all
    select older_rows.*
    from older_rows
    left join {{ this }} as known
        on
            older_rows.store_key = known.store_key
            and older_rows.row_number = known.row_number
    where known.row_number is null
    {%- endif %}
    union all
    -- One row without a number for each file, since most have no doubtful row.
    select
        entity,
        store_key,
        null as row_number,
        null as record_id,
        null as city_code,
        null as section,
        null as kind,
        null as start_year,
        null as end_year,
        null as set_aside_reason
    from {{ ref('raw_register_files') }}
    where {{ is_new }}
),

final as (
    select
        *,
        '{{ rules_key() }}' as rules
    from found
)

select * from final
