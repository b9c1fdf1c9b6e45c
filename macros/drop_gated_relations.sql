{#
Before a run builds anything: drop what depends on the gate, so that a bad delivery leaves no estimate of an older one.
A partial selection drops only what it will rebuild. Through the adapter, so that dbt's relation cache knows.
#}
{% macro drop_gated_relations() -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'seed') -%}
        {{ adapter.dispatch('drop_gated_relations')() }}
    {%- endif -%}
{%- endmacro %}

{% macro default__drop_gated_relations() -%}
    {%- do leave_no_gate_behind() -%}
    {#- A build from the last one compares them; if its gate fails, they are dropped at its end. -#}
    {%- if not env_var('FROM_LAST_BUILD', '') -%}
        {%- do drop_nodes(nodes_in(['gates', 'estimates', 'reports']) | select('in', selected_nodes()) | list) -%}
    {%- endif -%}
{%- endmacro %}

{# The models of some folders. #}
{% macro nodes_in(folders) -%}
    {%- set found = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.fqn[1] in folders -%}
        {%- do found.append(node.unique_id) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{# The models and seeds that a node is made of. #}
{% macro nodes_above(id) -%}
    {%- set found, known = [id], {id: true} -%}
    {%- for node in found -%}
        {%- for parent in graph.nodes[node].depends_on.get('nodes', [])
            if parent not in known and parent.split('.')[0] in ('model', 'seed')
        -%}
            {%- do known.update({parent: true}) -%}
            {%- do found.append(parent) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(found[1:]) }}
{%- endmacro %}

{% macro relation_of(id) -%}
    {%- set node = graph.nodes[id] -%}
    {{ return(adapter.get_relation(node.database, node.schema, node.alias)) }}
{%- endmacro %}

{# Drop those that exist, and return their names. #}
{% macro drop_nodes(ids) -%}
    {%- set dropped = [] -%}
    {%- for id in ids -%}
        {%- set relation = relation_of(id) -%}
        {%- if relation -%}
            {%- do adapter.drop_relation(relation) -%}
            {%- do dropped.append(relation.identifier) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(dropped) }}
{%- endmacro %}
