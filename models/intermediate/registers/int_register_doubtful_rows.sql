{%- if target.type == 'spark' %}
{#- Rows cannot be appended to existing partitions, so Spark compares all ids again. #}
{{ config(materialized='table') }}
{%- else %}
{{ kept_by_file() }}
{%- endif %}

{%- set is_new = 'store_key in ' ~ new_files() if is_incremental() else 'true' %}
{%- if is_incremental() %}
{%- set new_ids = 'select min(record_id), max(record_id) from ' ~ ref('int_register_delivered') ~ ' where ' ~ is_new %}
{%- set first_id, last_id = run_query(new_ids).rows[0] %}
{#- Literal bounds let the engine skip row groups of older files, because application numbers begin with the year. #}
{%- set bounds = literal(first_id or '') ~ ' and ' ~ literal(last_id or '') %}
{%- set is_compared = 'not ' ~ is_new ~ ' and record_id between ' ~ bounds %}
{%- endif %}
{%- set rows %}
    select
        {{ cell_columns() }},
        row_number,
        record_id,
        set_aside_reason
    from {{ ref('int_register_conformed') }}
{%- endset %}
{%- set of_ids = 'select ' ~ id_hash('record_id') ~ ' as id_hash from ' ~ ref('int_register_delivered') %}
{%- set hashes = of_ids ~ ' where record_id is not null and ' ~ is_new %}
{%- if is_incremental() %}
{%- set hashes = hashes ~ ' union all ' ~ of_ids ~ ' where ' ~ is_compared %}
{%- endif %}

-- Register rows whose id is missing or not unique. Ids are compared by hash first, and only rows with equal hashes are
-- compared by id. Ids shared by a firm and a patent are included; int_register_dropped_rows separates the entities. No
-- CTE with register rows is read twice, because DuckDB would materialise all of them.
with

hashed as (
    {{ hashes }}
),

repeated as {{ 'materialized ' if is_incremental() }}(
    select hashed.id_hash
    from hashed
    group by hashed.id_hash
    having count(*) > 1
),

suspects as (
    {{- rows }}
    where
        {{ is_new }}
        and {{ id_hash('record_id') }} in (select repeated.id_hash from repeated)
    {%- if is_incremental() %}
    union all
    {{- rows }}
    where
        {{ is_compared }}
        and {{ id_hash('record_id') }} in (select repeated.id_hash from repeated)
    {%- endif %}
),

checked as (
    select
        *,
        count(*) over (partition by record_id) as id_count,
        max(case when {{ is_new }} then 1 else 0 end) over (partition by record_id) as has_new_row
    from suspects
),

found as (
    select
        {{ cell_columns() }},
        row_number,
        record_id,
        set_aside_reason
    from checked
    where
        checked.id_count > 1
        {%- if is_incremental() %}
        and not exists (
            select 1
            from {{ this }} as known
            where
                checked.store_key = known.store_key
                and checked.row_number = known.row_number
        )
        {%- endif %}
        and checked.has_new_row = 1
    union all
    -- Rows without an id. DuckDB uses Parquet statistics to skip row groups without nulls.
    {{- rows }}
    where
        {{ is_new }}
        and record_id is null
    union all
    -- Add a row without a row number for each file, to mark the file as processed even if it has no doubtful rows.
    select
        entity,
        store_key,
        null as city_code,
        null as section,
        null as kind,
        null as start_year,
        null as end_year,
        null as row_number,
        null as record_id,
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
