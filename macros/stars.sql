{# Stars as the paper prints them: 1, 5 and 10 %. #}
{% macro stars(p_value) -%}
case
    when {{ p_value }} < 0.01 then '***'
    when {{ p_value }} < 0.05 then '**'
    when {{ p_value }} < 0.1 then '*'
    else ''
end
{%- endmacro %}
