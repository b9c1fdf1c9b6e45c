{# Schemas are named as the folders are: raw, staging, intermediate, marts, gates, estimates, reports. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
