{#
Below the folder of its schema, where the next run writes over what a run left that died. Partitions are not written over
when a table is made, and Spark would take those it finds for the table's own, so it is made in a folder of the run.
#}
{% macro spark__location_clause() -%}
    location '{{ model.alias }}{{ '/' ~ invocation_id if config.get('partition_by') }}'
{%- endmacro %}

{# All rows of a seed in one statement; dbt-spark's own writes "None" for an empty cell. #}
{% macro spark__load_csv_rows(model, agate_table) -%}
    {%- set types = model['config'].get('column_types', {}) -%}
    {%- set sql -%}
        insert overwrite table {{ this }}
        select
            {%- for name in agate_table.column_names %}
            cast({{ name }} as {{ types.get(name, adapter.convert_type(agate_table, loop.index0)) }})
            {{- ',' if not loop.last }}
            {%- endfor %}
        from values
            {%- for row in agate_table.rows %}
            (
                {%- for value in row -%}
                    {{ 'null' if value is none else literal(value | string) }}{{ ', ' if not loop.last }}
                {%- endfor -%}
            ){{ ',' if not loop.last }}
            {%- endfor %} as rows ({{ agate_table.column_names | join(', ') }})
    {%- endset -%}
    {%- do adapter.add_query(sql, abridge_sql_log=True) -%}
    {{ return(sql) }}
{%- endmacro %}
