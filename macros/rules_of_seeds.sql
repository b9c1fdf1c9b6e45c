{#
Return the records that break `meta.rules` of the given seeds, with seed, rule and record. Conditions may refer to any
of the seeds, and to the models in `others`, by name.
#}
{% macro rules_of_seeds(seeds, others=[]) -%}
with
{% for name in seeds + others %}
{{ name }} as (select * from {{ ref(name) }}),
{% endfor %}
broken as (
    {%- for name in seeds if execute %}
    {%- set rules = graph.nodes['seed.ai_manufacturing.' ~ name].config.meta.rules %}
    select '{{ name }}' as seed, * from ({{ test_rules(name, **rules) }})
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}
)

select * from broken
{%- endmacro %}
