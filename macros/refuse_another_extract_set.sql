{# A warehouse file holds one extract set: its tables and estimates must not be mixed with those of another. #}
{% macro refuse_another_extract_set() -%}
    {{ adapter.dispatch('refuse_another_extract_set')() }}
{%- endmacro %}

{% macro default__refuse_another_extract_set() -%}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {#- Fails by itself where EXTRACTS_DIR names no folder, before anything is dropped. #}
        {%- set current = run_query('select current_extract_set()').rows[0][0] -%}
        {%- set deliveries = adapter.get_relation(target.database, 'raw', 'deliveries') -%}
        {%- if deliveries -%}
            {%- set others = run_query(
                'select distinct extract_set from ' ~ deliveries ~ ' where extract_set <> current_extract_set()'
            ) -%}
            {%- if others.rows -%}
                {{ exceptions.raise_compiler_error(
                    env_var('WAREHOUSE_PATH', 'build/warehouse.duckdb') ~ ' holds the extract set "' ~ others.rows[0][0]
                    ~ '", and EXTRACTS_DIR now holds "' ~ current
                    ~ '". Nothing was changed. If these files continue that set, write name: "' ~ others.rows[0][0]
                    ~ '" into their extract_set.yml. Otherwise set WAREHOUSE_PATH to another file, or delete this one.'
                ) }}
            {%- endif -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
