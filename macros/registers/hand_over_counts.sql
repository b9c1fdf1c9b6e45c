{# At the end of a run: what another engine counted is laid where the DuckDB build finds it among the deliveries. #}
{% macro hand_over_counts(results) -%}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {{ adapter.dispatch('hand_over_counts')(results) }}
    {%- endif -%}
{%- endmacro %}

{% macro default__hand_over_counts(results) -%}
{%- endmacro %}
