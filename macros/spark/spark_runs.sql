{# The log of deliveries as landing wrote it down. #}
{% macro spark__receive_deliveries() -%}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {%- set deliveries = api.Relation.create(schema='raw', identifier='deliveries', type='view') -%}
        {%- do run_query('create schema if not exists raw') -%}
        {%- do run_query(
            'create or replace view ' ~ deliveries ~ ' as select * from parquet.`' ~ landed_tables() ~ '/deliveries.parquet`'
        ) -%}
        {%- do adapter.cache_added(deliveries) -%}
    {%- endif -%}
{%- endmacro %}

{% macro spark__refuse_another_extract_set() -%}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {%- set files = adapter.get_relation(none, 'intermediate', 'int_register_files') -%}
        {%- set others = run_query(
            'select extract_set from ' ~ files ~ ' where extract_set not in (select extract_set from raw.deliveries) limit 1'
        ).rows if files else [] -%}
        {%- if others -%}
            {{ exceptions.raise_compiler_error(
                env_var('SPARK_STORAGE', 'build/spark') ~ ' holds counts of the extract set "' ~ others[0][0]
                ~ '", and EXTRACTS_DIR now holds another. Nothing was changed. Set SPARK_STORAGE to another folder, or '
                ~ 'delete this one.'
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
