{# A missing value is outside the range as well. #}
{% test within_range(model, column_name, minimum, maximum) %}
select {{ column_name }}
from {{ model }}
where not coalesce({{ column_name }} between {{ minimum }} and {{ maximum }}, false)
{% endtest %}
