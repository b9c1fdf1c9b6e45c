{#
One rule for every selection: what lies below a gate that is not judged anew is dropped. A run that builds anything which
the gates judge drops estimates and reports before it builds; if it leaves out a gate or a table between, it drops the
gates too, and only a run of all that they judge brings them back. So no record of what was judged is needed: a gate
that stands has judged what stands. Through the adapter, so that dbt's relation cache knows.
#}
{% macro drop_gated_relations() -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'seed') -%}
        {{ adapter.dispatch('drop_gated_relations')() }}
    {%- endif -%}
{%- endmacro %}

{% macro default__drop_gated_relations() -%}
    {%- set selected = selected_nodes() -%}
    {%- set judged = nodes_above(all_gates()) + [all_gates()] -%}
    {%- set touched = judged | select('in', selected) | list -%}
    {%- set stale = [] -%}
    {%- for node in judged
        if touched and node not in selected and not is_ephemeral(node) and nodes_above(node) | select('in', touched) | list
    -%}
        {%- do stale.append(node) -%}
    {%- endfor -%}
    {%- do refuse_ungated_selection(selected, touched, stale) -%}
    {%- do drop_nodes(nodes_in(['gates', 'estimates', 'reports']) | select('in', selected) | list) -%}
    {%- set others = drop_nodes(nodes_in(['estimates', 'reports'])) if touched else [] -%}
    {%- set gates = drop_nodes(nodes_in(['gates'])) if stale else [] -%}
    {%- if others or gates -%}
        {%- do exceptions.warn(
            'The selection builds ' ~ names_of(touched) ~ ', which the gates judge'
            ~ (', but not ' ~ names_of(stale) if stale else '') ~ '. So ' ~ gates | length ~ ' gates and '
            ~ others | length ~ ' estimates and reports of the older tables were dropped. Run dbt build, or dbt '
            ~ 'build --select +gate_results+, to judge and rebuild them.'
        ) -%}
    {%- endif -%}
{%- endmacro %}

{# Refuse, before anything is changed, estimates and gates that would stand beside tables that no gate has judged. #}
{% macro refuse_ungated_selection(selected, touched, stale) -%}
    {%- set held = nodes_in(['estimates', 'reports']) | select('in', selected) | list -%}
    {%- set ungated = [] -%}
    {%- if selected_resources and not relation_to_read(all_gates()) -%}
        {#- Its gates were dropped, or never built: the models that a gate judges must be of this run; seeds stand. -#}
        {%- set seeds = graph.nodes.values() | selectattr('resource_type', 'equalto', 'seed') | map(attribute='unique_id') | list -%}
        {%- for gate in nodes_in(['gates'])
            if gate in selected and nodes_above(gate) | reject('in', selected + seeds) | list
        -%}
            {%- do ungated.append(gate) -%}
        {%- endfor -%}
        {%- do ungated.extend(held if all_gates() not in selected else []) -%}
    {%- endif -%}
    {%- if held and stale -%}
        {{ exceptions.raise_compiler_error(
            'The selection builds ' ~ names_of(touched) ~ ', which the gates judge, and ' ~ names_of(held) ~ ', but not '
            ~ names_of(stale) ~ '. Nothing was changed. Run dbt build, or dbt build --select +gate_results+.'
        ) }}
    {%- elif ungated -%}
        {{ exceptions.raise_compiler_error(
            'The selection builds ' ~ names_of(ungated) ~ ', but no gate has judged all of their inputs. Nothing was '
            ~ 'changed. Run dbt build, or dbt build --select +gate_results+.'
        ) }}
    {%- elif held and all_gates() not in selected -%}
        {%- set failures = critical_failures(all_gates()) -%}
        {%- if gate_of_estimates() not in selected -%}
            {%- do failures.extend(critical_failures(gate_of_estimates())) -%}
        {%- endif -%}
        {%- if failures -%}
            {{ exceptions.raise_compiler_error(
                'The gate holds these estimates back; see the schema gates. Nothing was changed. Run dbt build, '
                ~ 'which lands corrected files; dbt retry and partial selections do not.\n' ~ failures | join('\n')
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# At the end of a run: drop what a gate holds back. The gate of the estimates stays, to say why they are gone. #}
{% macro drop_what_is_held_back() -%}
    {{ adapter.dispatch('drop_what_is_held_back')() }}
{%- endmacro %}

{% macro default__drop_what_is_held_back() -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'seed') -%}
        {%- set held = nodes_in(['estimates', 'reports']) -%}
        {%- if relation_to_read(all_gates()) and not critical_failures(all_gates()) -%}
            {%- set held = held | reject('equalto', gate_of_estimates()) | list if critical_failures(gate_of_estimates()) else [] -%}
        {%- endif -%}
        {%- set dropped = drop_nodes(held) -%}
        {%- if dropped -%}
            {%- do exceptions.warn('The gate holds back ' ~ dropped | length ~ ' estimates and reports; they were dropped.') -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{% macro all_gates() -%}
    {{ return('model.ai_manufacturing.gate_results') }}
{%- endmacro %}

{# It judges estimates, so it is built and dropped with them. #}
{% macro gate_of_estimates() -%}
    {{ return('model.ai_manufacturing.gate_second_route') }}
{%- endmacro %}

{# The critical failures of a gate that hold estimates back, as lines; none of a gate that is not built. #}
{% macro critical_failures(gate) -%}
    {%- set results = relation_to_read(gate) -%}
    {{ return(column_of(
        "select suite || ': ' || description from " ~ results ~ " where severity = 'critical' and not success order by all"
    ) if results and not env_var('ACCEPTED_GATE_FAILURES', '') else []) }}
{%- endmacro %}

{# What the run builds. dbt retry, which takes it from the results of the run before, does not say it. #}
{% macro selected_nodes() -%}
    {{ return(selected_resources or column_of('select unnest(nodes_to_retry())')) }}
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

{# Whether a model is a part of what reads it, and no relation. #}
{% macro is_ephemeral(id) -%}
    {{ return(graph.nodes[id].config.materialized == 'ephemeral') }}
{%- endmacro %}

{% macro relation_of(id) -%}
    {%- set node = graph.nodes[id] -%}
    {{ return(adapter.get_relation(node.database, node.schema, node.alias)) }}
{%- endmacro %}

{# The relation that a run reads: its own or, where there is none, with --defer that of the state. #}
{% macro relation_to_read(id) -%}
    {%- set deferred = graph.nodes[id].defer_relation -%}
    {{ return(relation_of(id) or (
        adapter.get_relation(deferred.database, deferred.schema, deferred.alias) if deferred
    )) }}
{%- endmacro %}

{# The first names of some nodes. #}
{% macro names_of(ids) -%}
    {%- set names = [] -%}
    {%- for id in ids[:5] -%}{%- do names.append(id.split('.')[-1]) -%}{%- endfor -%}
    {{ return(names | join(', ') ~ (' and ' ~ (ids | length - 5) ~ ' more' if ids | length > 5 else '')) }}
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
