{#
Stars of a row of rpt_coefficients as the paper prints them: 1, 5 and 10 %. Null where there is no test, and where the
regressor is made from the outcome, whose p-value tests nothing.
#}
{% macro stars(coefficient) -%}
case
    when {{ coefficient }}.status = 'mechanical' or {{ coefficient }}.p_value is null then null
    when {{ coefficient }}.p_value < 0.01 then '***'
    when {{ coefficient }}.p_value < 0.05 then '**'
    when {{ coefficient }}.p_value < 0.1 then '*'
    else ''
end
{%- endmacro %}
