{#
Records that break the rules of some seeds, `meta.rules` of each; conditions name other seeds, and `others`, as tables.
A row names the seed, the rule and the record.
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
