{#
Drop what depends on the gate before anything is built, so that a bad delivery leaves no estimate of an older one.
A partial selection drops only what it will rebuild. Through the adapter, so that dbt's relation cache knows.
#}
{% macro drop_gated_relations() -%}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {%- for node in graph.nodes.values()
            if node.resource_type == 'model'
            and node.fqn[1] in ('gates', 'estimates', 'reports')
            and node.unique_id in selected_resources
        -%}
            {%- set relation = adapter.get_relation(node.database, node.schema, node.alias) -%}
            {%- if relation -%} {%- do adapter.drop_relation(relation) -%} {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
