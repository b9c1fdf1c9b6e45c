{# A warehouse file holds one extract set: its tables and estimates must not be mixed with those of another. #}
{% macro refuse_another_extract_set() -%}
    {{ adapter.dispatch('refuse_another_extract_set')() }}
{%- endmacro %}

{% macro default__refuse_another_extract_set() -%}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {%- set deliveries = relation_of('model.ai_manufacturing.raw_deliveries') -%}
        {#- Fails by itself where EXTRACTS_DIR names no folder, before anything is dropped. #}
        {%- set sets = column_of(
            'select current_extract_set() as extract_set'
            ~ (' union select extract_set from ' ~ deliveries ~ ' order by extract_set = current_extract_set()' if deliveries else '')
        ) -%}
        {%- if sets | length > 1 -%}
            {{ exceptions.raise_compiler_error(
                env_var('WAREHOUSE_PATH', 'build/warehouse.duckdb') ~ ' holds the extract set "' ~ sets[0]
                ~ '", and EXTRACTS_DIR now holds "' ~ sets[-1]
                ~ '". Nothing was changed. If these files continue that set, write name: "' ~ sets[0]
                ~ '" into their extract_set.yml. Otherwise set WAREHOUSE_PATH to another file, or delete this one.'
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
