{# Schemas are named as the folders are: raw, staging, intermediate, marts, gates, estimates, reports; in dev with dev_. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ ('dev_' if target.name == 'dev' and custom_schema_name else '') ~ (custom_schema_name or target.schema) }}
{%- endmacro %}
