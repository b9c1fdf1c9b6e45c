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

{# A mark after stars that errors clustered by province take away: there p is a tenth or more. #}
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
