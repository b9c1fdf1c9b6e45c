{#
Two-sided p-value of a standard normal z, to 1.5e-7: DuckDB has no error function.
Abramowitz and Stegun (1964), 7.1.26.
#}
{% macro normal_p_value(z) -%}
{%- set t = '(1 / (1 + 0.3275911 * abs(' ~ z ~ ') / sqrt(2)))' -%}
{{ t }} * (0.254829592 + {{ t }} * (-0.284496736 + {{ t }} * (1.421413741 + {{ t }} * (-1.453152027
+ {{ t }} * 1.061405429)))) * exp(-pow({{ z }}, 2) / 2)
{%- endmacro %}
