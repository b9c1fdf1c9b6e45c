{# The year of the period that is nearest to another year. #}
{% macro nearest_year(year) -%}
    case
        when {{ year }} is not null
            then least(greatest({{ year }}, {{ period('first_year') }}), {{ period('last_year') }})
    end
{%- endmacro %}
