{#
Place a table in the folder of its schema, where the next run overwrites the files of a run that died. Creating a
partitioned table does not overwrite existing partitions, and Spark would adopt them, so such a table is created in a
folder named after the run.
#}
{% macro spark__location_clause() -%}
    location '{{ model.alias }}{{ '/' ~ invocation_id if config.get('partition_by') }}'
{%- endmacro %}

{# Insert all rows of a seed in one statement; dbt-spark's own macro writes "None" for an empty cell. #}
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
