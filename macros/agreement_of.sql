{# How far two columns of logs agree: over their rows, and as the difference of the second from the first. #}
{% macro agreement_of(first, second) -%}
corr({{ first }}, {{ second }}) as correlation,
        avg({{ second }} - {{ first }}) as mean_difference,
        stddev_samp({{ second }} - {{ first }}) as difference_sd,
        avg({{ second }} - {{ first }}) - 1.96 * stddev_samp({{ second }} - {{ first }}) as lower_agreement_bound,
        avg({{ second }} - {{ first }}) + 1.96 * stddev_samp({{ second }} - {{ first }}) as upper_agreement_bound
{%- endmacro %}
