{# Clamp a year to the period. #}
{% macro nearest_year(year) -%}
    case
        when {{ year }} is not null
            then least(greatest({{ year }}, {{ period('first_year') }}), {{ period('last_year') }})
    end
{%- endmacro %}
