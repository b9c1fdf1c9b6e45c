{# Return the share of the rows in `about` that meet a condition; null for fewer than twenty rows. #}
{% macro share_of(condition, about) -%}
    case
        when count(case when {{ about }} then 1 end) >= 20
            then avg(case when {{ condition }} then 1 else 0 end) filter (where {{ about }})
    end
{%- endmacro %}
