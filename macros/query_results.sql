{# The one value that a query returns. #}
{% macro value_of(query) -%}
    {{ return(column_of(query)[0]) }}
{%- endmacro %}

{# The values of the first column of a query. #}
{% macro column_of(query) -%}
    {{ return(run_query(query).columns[0].values() | list) }}
{%- endmacro %}

{# A row of a query in words; what is null is left out. #}
{% macro row_in_words(row) -%}
    {%- set facts = [] -%}
    {%- for name, value in row.dict().items() if value is not none -%}{%- do facts.append(name ~ ' ' ~ value) -%}{%- endfor -%}
    {{ return(facts | join(', ')) }}
{%- endmacro %}
