{# Return the first value of a query's result. #}
{% macro value_of(query) -%}
    {{ return(column_of(query)[0]) }}
{%- endmacro %}

{# Return the values of the first column of a query's result. #}
{% macro column_of(query) -%}
    {{ return(run_query(query).columns[0].values() | list) }}
{%- endmacro %}

{# Format a row of a result as "name value, name value", without nulls. #}
{% macro row_in_words(row) -%}
    {%- set facts = [] -%}
    {%- for name, value in row.dict().items() if value is not none -%}{%- do facts.append(name ~ ' ' ~ value) -%}{%- endfor -%}
    {{ return(facts | join(', ')) }}
{%- endmacro %}
