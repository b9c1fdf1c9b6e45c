{#
How far two columns of logs agree: over their rows, and as the difference of the second from the first. Sums of doubles
are taken in one order, so that two builds give the same digits.
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
