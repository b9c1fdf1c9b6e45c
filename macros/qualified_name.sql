{# Append the providers of the series to a name, as in name@first/second; default providers add nothing. #}
{% macro qualified_name(name, series) -%}
{{ name }} || rtrim('@' || replace(regexp_replace({{ series }}, '[^ @]+@?([^ ]*)', '\1', 'g'), ' ', '/'), '@/')
{%- endmacro %}
