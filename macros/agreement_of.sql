{#
Measure the agreement of two columns of logs: their correlation, and the mean, standard deviation and Bland-Altman
bounds of the second minus the first. The aggregates are ordered, so that every build adds the doubles in the same order
and returns the same digits.
#}
{% macro agreement_of(first, second) -%}
    {%- set order = 'order by ' ~ first ~ ', ' ~ second -%}
    {%- set mean = 'avg(' ~ second ~ ' - ' ~ first ~ ' ' ~ order ~ ')' -%}
    {%- set deviation = 'stddev_samp(' ~ second ~ ' - ' ~ first ~ ' ' ~ order ~ ')' -%}
corr({{ first }}, {{ second }} {{ order }}) as correlation,
        {{ mean }} as mean_difference,
        {{ deviation }} as difference_sd,
        {{ mean }} - 1.96 * {{ deviation }} as lower_agreement_bound,
        {{ mean }} + 1.96 * {{ deviation }} as upper_agreement_bound
{%- endmacro %}
