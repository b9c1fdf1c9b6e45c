{# A variable or measure made from series, named after their providers: name@first/second, nothing for a default one. #}
{% macro qualified_name(name, series) -%}
{{ name }} || rtrim('@' || replace(regexp_replace({{ series }}, '[^ @]+@?([^ ]*)', '\1', 'g'), ' ', '/'), '@/')
{%- endmacro %}
