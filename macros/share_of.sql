{# Of the rows of a group that a condition is about, the share that fulfils it; null for fewer than twenty. #}
{% macro share_of(condition, about) -%}
    case
        when count(case when {{ about }} then 1 end) >= 20
            then avg(case when {{ condition }} then 1 else 0 end) filter (where {{ about }})
    end
{%- endmacro %}
