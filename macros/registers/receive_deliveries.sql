{# Before anything else: an engine that runs no Python is shown the deliveries that have landed. #}
{% macro receive_deliveries() -%}
    {{ adapter.dispatch('receive_deliveries')() }}
{%- endmacro %}

{% macro default__receive_deliveries() -%}
{%- endmacro %}
