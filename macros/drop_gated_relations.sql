{#
Drop what depends on the gate before anything is built, so that a bad delivery leaves no estimate of an older one.
A partial selection drops only what it will rebuild. Through the adapter, so that dbt's relation cache knows.
#}
{% macro drop_gated_relations() -%}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {%- do leave_no_gate_behind() -%}
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

{#
A partial selection may build what a gate judges and not the gate, or a gate and not all between. The results of a gate
that is left behind become one failure, which only a run of all that it judges takes away.
#}
{% macro leave_no_gate_behind() -%}
    {{ adapter.dispatch('leave_no_gate_behind')() }}
{%- endmacro %}

{% macro default__leave_no_gate_behind() -%}
    {%- set all_gates = 'model.ai_manufacturing.gate_results' -%}
    {%- set stale = [] -%}
    {%- for node in models_above(all_gates)
        if node not in selected_resources and models_above(node) | select('in', selected_resources) | list
    -%}
        {%- do stale.append(node) -%}
    {%- endfor -%}
    {%- set gates = [] -%}
    {%- for id in models_above(all_gates) if graph.nodes[id].fqn[1] == 'gates' -%}
        {%- set gate = graph.nodes[id] -%}
        {%- do gates.append((id, gate.name, adapter.get_relation(gate.database, gate.schema, gate.alias))) -%}
    {%- endfor -%}
    {%- for id, name, results in gates if id in selected_resources -%}
        {%- set unselected = models_above(id) | reject('in', selected_resources) | list -%}
        {%- set was_left = run_query('select 1 from ' ~ results ~ " where expectation = 'judged'").rows
            if results and unselected else [] -%}
        {%- if was_left or unselected | select('in', stale) | list -%}
            {{ exceptions.raise_compiler_error(
                'The selection builds ' ~ name ~ ', and not all that it judges is of one delivery then. Nothing was '
                ~ 'changed. Run dbt build, or dbt build --select +gate_results+.'
            ) }}
        {%- endif -%}
    {%- endfor -%}
    {%- for id, name, results in gates if results and id in stale -%}
        {%- do run_query('delete from ' ~ results) -%}
        {%- do run_query(
            'insert into ' ~ results ~ ' (extract_set, suite, expectation, description, severity, success) '
            ~ "values (current_extract_set(), '" ~ name ~ "', 'judged', 'What this judges was built again "
            ~ "since: dbt build --select +gate_results+.', 'critical', false)"
        ) -%}
    {%- endfor -%}
{%- endmacro %}

{# A model and all models that it is made of. #}
{% macro models_above(model) -%}
    {%- set found = [model] -%}
    {%- for node in found -%}
        {%- for parent in graph.nodes[node].depends_on.nodes if parent.startswith('model.') and parent not in found -%}
            {%- do found.append(parent) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
