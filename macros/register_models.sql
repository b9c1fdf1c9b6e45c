{#
The two registers differ in their id, the text that tells AI, and the columns of a cell: what counts are made of.
The models named after a register are one line each and share the SQL below.
#}
{% macro described_register(entity) -%}
    {{ return({
        'firm_register': {
            'id': 'firm_id',
            'text': 'business_scope',
            'cell': ['city_code', 'section', 'entry_year', 'exit_year']
        },
        'patent_register': {
            'id': 'application_number',
            'text': 'patent_text',
            'cell': ['city_code', 'section', 'patent_type', 'application_year', 'grant_year']
        }
    }[entity]) }}
{%- endmacro %}

{# Why a row or a cell of a register is set aside, told by its section and years; see int_*_register_conformed. #}
{% macro register_set_aside_reason(entity) -%}
    {%- if entity == 'firm_register' -%}
        {%- set entry, leave, before = 'entry_year', 'exit_year', 'exit before entry' -%}
    {%- else -%}
        {%- set entry, leave, before = 'application_year', 'grant_year', 'grant before application' -%}
    {%- endif -%}
    case
            when {{ entry }} = 0 or {{ leave }} = 0 then 'unreadable date'
            when {{ entry }} is null then 'no date'
            when {{ entry }} > {{ var('last_year') }} then 'after the period'
            when {{ leave }} = {{ var('first_year') - 2 }} then '{{ before }}'
            {%- if entity == 'patent_register' %}
            when patent_type is null then 'unknown patent type'
            {%- endif %}
            -- Designs have no IPC class.
            when section is null{% if entity == 'patent_register' %} and patent_type <> 'design'{% endif %} then 'unknown industry'
        end
{%- endmacro %}

{#
Rows whose id stands in more than one row of a register. A row without an id marks a file that was looked at.
Only ids are compared, those of new files with each other and with the older ones; whole rows are read of what is found.
Whether the rows are usable, and still more than one, is decided where copies are numbered.
#}
{% macro repeated_rows(entity) -%}
{%- set id, cell_columns = described_register(entity).id, described_register(entity).cell -%}
{%- set new_file = 'store_key in ' ~ new_files(entity) if is_incremental() else 'true' -%}
{%- set new_bounds -%}
    {%- if is_incremental() and execute -%}
        {%- set ids = 'select min(' ~ id ~ ') as first_id, max(' ~ id ~ ') as last_id from ' ~ ref('stg_vendor__' ~ entity) -%}
        {%- set bounds = run_query(ids ~ ' where ' ~ new_file).rows[0] -%}
        {{ literal(bounds[0] or '') }} and {{ literal(bounds[1] or '') }}
    {%- endif -%}
{%- endset -%}
{%- set rows -%}
    select
        extract_set,
        store_key,
        row_number,
        {{ id }},
        {{ cell_columns | join(', ') }},
        set_aside_reason
    from {{ ref('int_' ~ entity ~ '_conformed') }}
{%- endset -%}
-- No expression holds the rows of a register for two readers: DuckDB would keep them all.
with

new_ids as (
    select
        {{ id }},
        count(*) as id_count
    from {{ ref('stg_vendor__' ~ entity) }}
    where
        {{ id }} is not null
        and {{ new_file }}
    group by {{ id }}
),
{%- if is_incremental() %}

older_ids as (
    select {{ id }}
    from {{ ref('stg_vendor__' ~ entity) }}
    where
        not {{ new_file }}
        -- The bounds as literals let whole parts of older files be passed over: an application number begins with its year.
        and {{ id }} between {{ new_bounds }}
        and {{ id }} in (select new_ids.{{ id }} from new_ids)
),

older_rows as (
    {{ rows }}
    where
        not {{ new_file }}
        and {{ id }} in (select older_ids.{{ id }} from older_ids)
),
{%- endif %}

repeated as (
    select {{ id }}
    from new_ids
    where id_count > 1
    {%- if is_incremental() %}
    union
    select {{ id }} from older_ids
    {%- endif %}
),

found as (
    {{ rows }}
    where
        {{ new_file }}
        and {{ id }} in (select repeated.{{ id }} from repeated)
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
),

looked_at as (
    select
        extract_set,
        store_key
    from {{ ref('int_register_files') }}
    where
        entity = '{{ entity }}'
        {%- if is_incremental() %}
        and store_key in {{ new_files(entity) }}
        {%- endif %}
),

final as (
    select
        found.extract_set,
        found.store_key,
        found.row_number,
        found.{{ id }},
        {%- for column in cell_columns %}
        found.{{ column }},
        {%- endfor %}
        found.set_aside_reason,
        '{{ rules_key() }}' as rules
    from found
    union all
    select
        extract_set,
        store_key,
        cast(null as bigint) as row_number,
        cast(null as {{ dbt.type_string() }}) as {{ id }},
        {%- for column in cell_columns %}
        null as {{ column }},
        {%- endfor %}
        cast(null as {{ dbt.type_string() }}) as set_aside_reason,
        '{{ rules_key() }}' as rules
    from looked_at
)

select * from final
{%- endmacro %}

{#
Rows that give way to another of their id, and why. Of the files that have an id, the latest delivery decides: rows of
the others are superseded, whatever else they are. Of that file the first usable row stays. One that is counted like
it is a duplicate; one that is not contradicts it.
#}
{% macro register_copies(entity) -%}
{%- set id, cell_columns = described_register(entity).id, described_register(entity).cell -%}
{%- set best_first -%}
over (
            partition by {{ id }}
            order by delivery_number desc, case when set_aside_reason is null then 0 else 1 end, row_number
        )
{%- endset -%}
with

files as (
    select * from {{ ref('int_register_files') }}
    where entity = '{{ entity }}'
),

-- The number of a delivery instead of its key of 64 letters: these rows are sorted.
numbered as (
    select
        files.delivery_number,
        repeated.row_number,
        repeated.{{ id }},
        {%- for column in cell_columns %}
        repeated.{{ column }},
        {%- endfor %}
        repeated.set_aside_reason
    from {{ ref('int_' ~ entity ~ '_repeated_rows') }} as repeated
    inner join files on repeated.store_key = files.store_key
    where repeated.{{ id }} is not null
),

ranked as (
    select
        *,
        first_value(delivery_number) {{ best_first }} as latest_delivery_number,
        {%- for column in cell_columns %}
        first_value({{ column }}) {{ best_first }} as first_{{ column }},
        {%- endfor %}
        row_number() {{ best_first }} as place
    from numbered
),

final as (
    select
        files.extract_set,
        files.store_key,
        ranked.row_number,
        ranked.{{ id }},
        {%- for column in cell_columns %}
        ranked.{{ column }},
        {%- endfor %}
        ranked.set_aside_reason as reason_without_the_other,
        case
            when ranked.delivery_number < ranked.latest_delivery_number then 'superseded'
            when
                {%- for column in cell_columns %}
                {{ 'or ' if not loop.first }}(ranked.{{ column }} is distinct from ranked.first_{{ column }})
                {%- endfor %}
                then 'contradicting id'
            else 'duplicate id'
        end as set_aside_reason
    from ranked
    inner join files on ranked.delivery_number = files.delivery_number
    where
        ranked.delivery_number < ranked.latest_delivery_number
        or (ranked.place > 1 and ranked.set_aside_reason is null)
)

select * from final
{%- endmacro %}

{# Usable rows whose text may hold an AI term, with their cell: the one pass over all texts of a register. #}
{% macro ai_candidates(entity) -%}
{%- set register = described_register(entity) -%}
with

final as (
    select
        extract_set,
        store_key,
        row_number,
        {{ register.id }},
        {{ register.cell | join(', ') }},
        {{ register.text }} as text,
        '{{ rules_key() }}' as rules
    from {{ ref('int_' ~ entity ~ '_conformed') }}
    where
        set_aside_reason is null
        and {{ register.id }} is not null
        and {{ may_hold_an_ai_term(register.text, ref('int_' ~ entity ~ '_conformed')) }}
        {%- if is_incremental() %}
        and store_key in {{ new_files(entity) }}
        {%- endif %}
)

select * from final
{%- endmacro %}

{#
One row per cell of a register file, before cities are resolved. Ids are not read for it: Parquet knows which row groups
lack none, and rows without an id leave their cell for one of their own.
#}
{% macro register_cohorts(entity) -%}
{%- set id, cell_columns = described_register(entity).id, described_register(entity).cell -%}
{%- set new_rows -%}
    from {{ ref('int_' ~ entity ~ '_conformed') }}
    where {{ 'store_key in ' ~ new_files(entity) if is_incremental() else 'true' }}
{%- endset -%}
-- No expression holds the rows of a register for two readers: DuckDB would keep them all.
with

counted as (
    select
        file_number,
        {{ cell_columns | join(', ') }},
        count(*) as row_count
    {{ new_rows }}
    group by file_number, {{ cell_columns | join(', ') }}
),

grouped as (
    select
        file_number,
        {{ cell_columns | join(', ') }},
        {{ register_set_aside_reason(entity) }} as set_aside_reason,
        row_count
    from counted
    {%- for reason, sign in [('set_aside_reason', -1), ("'no id'", 1)] %}
    union all
    select
        file_number,
        {{ cell_columns | join(', ') }},
        {{ reason }} as set_aside_reason,
        {{ sign }} as row_count
    {{ new_rows }}
        and {{ id }} is null
    {%- endfor %}
),

final as (
    select
        files.extract_set,
        files.store_key,
        {%- for column in cell_columns %}
        grouped.{{ column }},
        {%- endfor %}
        grouped.set_aside_reason,
        grouped.row_count,
        '{{ rules_key() }}' as rules
    from grouped
    inner join {{ ref('int_register_files') }} as files
        on
            files.entity = '{{ entity }}'
            and grouped.file_number = files.file_number
)

select * from final
{%- endmacro %}

{#
One row per file, city, cell and reason: all rows, and those that are AI. Copies leave their cell for one of their own,
so that the register itself is grouped once and never sorted.
#}
{% macro register_cells(entity) -%}
{%- set cell_columns = described_register(entity).cell -%}
{%- set cell = cell_columns | join(', ') -%}
with

ai_rows as (
    select distinct
        store_key,
        row_number
    from {{ ref('int_' ~ entity ~ '_ai_tags') }}
),

parts as (
    select
        store_key,
        {{ cell }},
        set_aside_reason,
        row_count,
        0 as ai_row_count
    from {{ ref('int_' ~ entity ~ '_cohorts') }}
    union all
    select
        candidates.store_key,
        {%- for column in cell_columns %}
        candidates.{{ column }},
        {%- endfor %}
        cast(null as {{ dbt.type_string() }}) as set_aside_reason,
        0 as row_count,
        1 as ai_row_count
    from {{ ref('int_' ~ entity ~ '_ai_candidates') }} as candidates
    inner join ai_rows
        on
            candidates.store_key = ai_rows.store_key
            and candidates.row_number = ai_rows.row_number
    {%- for reason, sign in [('reason_without_the_other', -1), ('set_aside_reason', 1)] %}
    union all
    select
        store_key,
        {{ cell }},
        {{ reason }} as set_aside_reason,
        {{ sign }} as row_count,
        0 as ai_row_count
    from {{ ref('int_' ~ entity ~ '_copies') }}
    {%- endfor %}
),

files as (
    select * from {{ ref('int_register_files') }}
    where entity = '{{ entity }}'
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
        files.extract_set,
        summed.file_number,
        identifiers.city_id,
        {%- for column in cell_columns %}
        summed.{{ column }},
        {%- endfor %}
        case
            when summed.set_aside_reason is not null then summed.set_aside_reason
            else {{ register_city_reason('summed.city_code') }}
        end as set_aside_reason,
        summed.row_count,
        summed.ai_row_count
    from summed
    inner join files on summed.file_number = files.file_number
    {{ register_city_joins('summed.city_code') }}
    where summed.row_count <> 0 or summed.ai_row_count <> 0
)

select * from final
{%- endmacro %}
