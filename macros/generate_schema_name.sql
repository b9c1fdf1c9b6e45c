{# Use the configured schema without dbt's prefix; in the target `dev`, prefix it with dev_. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ ('dev_' if target.name == 'dev' and custom_schema_name else '') ~ (custom_schema_name or target.schema) }}
{%- endmacro %}
