{# The one value that a query returns. #}
{% macro value_of(query) -%}
    {{ return(column_of(query)[0]) }}
{%- endmacro %}

{# The values of the first column of a query. #}
{% macro column_of(query) -%}
    {{ return(run_query(query).columns[0].values() | list) }}
{%- endmacro %}
