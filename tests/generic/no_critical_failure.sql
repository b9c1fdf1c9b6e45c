{% test no_critical_failure(model) %}
select * from {{ model }} where severity = 'critical' and not success
{% endtest %}
