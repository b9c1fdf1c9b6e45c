{# Return the first five texts of a group, joined by commas, and the number of further ones; null if there are none. #}
{% macro first_of(text, order, condition='true') -%}
    array_to_string(list({{ text }} order by {{ order }}) filter (where {{ condition }})[1:5], ', ')
    || case
        when count(case when {{ condition }} then 1 end) > 5
            then ' and ' || (count(case when {{ condition }} then 1 end) - 5) || ' more'
        else ''
    end
{%- endmacro %}
