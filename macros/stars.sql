{#
Return the significance stars of a row of rpt_coefficients at the paper's levels, 1, 5 and 10 %. Null without a p-value,
and if the regressor is computed from the outcome, because its p-value is then not a test.
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

{# Return ‡ if the stars depend on clustering by city: with clusters by province, the p-value is 10 % or more. #}
{% macro taken_away(coefficient) -%}
case
    when
        {{ coefficient }}.status = 'estimated'
        and {{ coefficient }}.p_value < 0.1
        and {{ coefficient }}.p_value_province >= 0.1
        then '‡'
    else ''
end
{%- endmacro %}
