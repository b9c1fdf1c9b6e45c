{#
The two sources of data_dictionary: what the property files say of the columns of models, and what is in the tables.
The files are read from dbt's graph, which is empty while dbt parses.
#}
{% macro documented_columns(names) -%}
    {%- set documented = [] -%}
    {%- for node in graph.get('nodes', {}).values() if node.resource_type == 'model' and node.name in names -%}
        {%- set parents = [] -%}
        {%- for parent in node.depends_on.nodes -%} {%- do parents.append(parent.split('.')[-1]) -%} {%- endfor -%}
        {%- for column in node.columns.values() -%}
            {#- A description is English and, after a blank line, Chinese. -#}
            {%- set texts = column.description.strip().split('\n\n') -%}
            {%- do documented.append({
                'table_schema': node.schema,
                'table_name': node.name,
                'column_number': loop.index,
                'column_name': column.name,
                'declared_type': column.data_type,
                'unit': column.meta.get('unit'),
                'description_en': texts[0] or none,
                'description_zh': texts[1] or none,
                'parents': parents | join(', ')
            }) -%}
        {%- endfor -%}
    {%- endfor -%}
    select
        unnest(
            from_json(
                '{{ tojson(documented) | replace("'", "''") }}',
                '[{
                    "table_schema": "varchar", "table_name": "varchar", "column_number": "integer",
                    "column_name": "varchar", "declared_type": "varchar", "unit": "varchar",
                    "description_en": "varchar", "description_zh": "varchar", "parents": "varchar"
                }]'
            ),
            recursive := true
        )
{%- endmacro %}

{# One row per year of a table, or one row: its rows, and how many have a value in each documented column. #}
{% macro counted_values(name, relation) -%}
    {%- set counts = [] -%}
    {%- set years = [] -%}
    {%- for node in graph.get('nodes', {}).values() if node.resource_type == 'model' and node.name == name -%}
        {%- for column in node.columns.values() -%}
            {%- do counts.append('count(' ~ adapter.quote(column.name) ~ ')') -%}
            {%- if column.name == 'year' -%} {%- do years.append('year') -%} {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    select
        '{{ name }}' as table_name,
        {{ years[0] or 'cast(null as integer)' }} as year,
        count(*) as row_count,
        [{{ counts | join(', ') }}] as value_counts
    from {{ relation }}
    {%- if years %}
    group by year
    {%- endif %}
{%- endmacro %}
