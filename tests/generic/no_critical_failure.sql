{#
Fail if a critical expectation failed, unless ACCEPTED_GATE_FAILURES states why a person publishes the held
build.
#}
{% test no_critical_failure(model) %}
select * from {{ model }}
where severity = 'critical' and not success and {{ 'false' if env_var('ACCEPTED_GATE_FAILURES', '') else 'true' }}
{% endtest %}
