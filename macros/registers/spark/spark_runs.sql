{# On-run-start hook: expose the tables that landing wrote, under the names that Python models give them on DuckDB. #}
{% macro receive_deliveries() -%}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {%- do run_query('create schema if not exists raw') -%}
        {%- for name in ('deliveries', 'extract_set', 'declared_sources') -%}
            {%- set view = api.Relation.create(schema='raw', identifier=name, type='view') -%}
            {%- do run_query(
                'create or replace view ' ~ view ~ ' as select * from parquet.`' ~ landed_tables() ~ '/' ~ name ~ '.parquet`'
            ) -%}
            {%- do adapter.cache_added(view) -%}
        {%- endfor -%}
        {%- do refuse_another_extract_set() -%}
        {%- if not (env_var('SPARK_MASTER', '') or 'local[*]').startswith('local') -%}{%- do refuse_storage_of_one_machine() -%}{%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# Raise if SPARK_STORAGE contains counts of another extract set; on DuckDB, raw_extract_set checks this. #}
{% macro refuse_another_extract_set() -%}
    {%- set files = adapter.get_relation(none, 'raw', 'raw_register_files') -%}
    {%- set others = column_of(
        'select extract_set from ' ~ files ~ ' where extract_set not in (select extract_set from raw.extract_set) limit 1'
    ) if files else [] -%}
    {%- if others -%}
        {{ exceptions.raise_compiler_error(
            (env_var('SPARK_STORAGE', '') or 'build/spark') ~ ' contains counts of the extract set "' ~ others[0]
            ~ '", but EXTRACTS_DIR now contains another set. Nothing was changed. Set SPARK_STORAGE to another folder, or '
            ~ 'delete this one.'
        ) }}
    {%- endif -%}
{%- endmacro %}

{#
On-run-end hook: export the counts for the DuckDB build, one file per register below COUNTS_DIR, if no node failed.
Spark writes _SUCCESS when a folder is complete, and landing refuses folders without it.
#}
{% macro hand_over_counts(results) -%}
    {%- set registers = ['firm', 'patent'] if execute and flags.WHICH in ('build', 'run') else [] -%}
    {%- set counted = results | map(attribute='node.name') | list -%}
    {%- set failed = results | rejectattr('status', 'in', ['success', 'pass', 'warn', 'no-op']) | list -%}
    {%- for register in registers if 'int_' ~ register ~ '_register_counts' in counted -%}
        {%- set extracts = env_var('EXTRACTS_DIR', '') or 'build/extracts/sample' -%}
        {%- set folder = (env_var('COUNTS_DIR', '') or extracts ~ '/register_counts') ~ '/' ~ register ~ '_counts' -%}
        {%- if failed -%}
            {%- do log(folder ~ ' was not updated, because dbt nodes failed: ' ~ failed | length ~ '.', info=True) -%}
        {%- else -%}
            {%- set query -%}
                insert overwrite directory {{ literal(folder) }} using parquet
                select counted.*
                from (
                    select /*+ repartition(1) */
                        counts.*,
                        kinds.extract_set_kind
                    from {{ api.Relation.create(schema='intermediate', identifier='int_' ~ register ~ '_register_counts') }} as counts
                    cross join (select max(extract_set_kind) as extract_set_kind from raw.deliveries) as kinds
                ) as counted
                sort by city_id, year, scope
            {%- endset -%}
            {%- do run_query(query) -%}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{# Raise if workers write to local disks: Spark would not notice, and would report empty tables as a success. #}
{% macro refuse_storage_of_one_machine() -%}
    {%- for statement in [
        'create schema if not exists intermediate',
        "create table if not exists intermediate.storage_probe (id bigint) using parquet location 'storage_probe'",
        'insert overwrite table intermediate.storage_probe select /*+ repartition(16) */ id from range(16)'
    ] -%}
        {%- do run_query(statement) -%}
    {%- endfor -%}
    {%- set seen = value_of('select count(*) from intermediate.storage_probe') -%}
    {%- if seen != 16 -%}
        {{ exceptions.raise_compiler_error(
            'SPARK_STORAGE is ' ~ (env_var('SPARK_STORAGE', '') or 'build/spark') ~ ', but the driver finds only '
            ~ seen ~ ' of 16 rows that workers wrote there. Mount one folder at the same path on all machines. Nothing was '
            ~ 'counted.'
        ) }}
    {%- endif -%}
{%- endmacro %}
