{#
A partial selection may build what a gate judges and not the gate. dbt cannot know beforehand whether that changes
anything, so the content is compared: before the run the fingerprints of what it builds are noted and the gates that it
leaves out are marked as failed; after the run the marks are taken away where the content is what it was. A run that
died is settled by the next one. What it does to each habit is in docs/for_dbt_users.md.
#}
{% macro leave_no_gate_behind() -%}
    {%- set selected = selected_nodes() -%}
    {%- set gated = nodes_in(['gates', 'estimates', 'reports']) -%}
    {%- set changed = settle_gates(gated) -%}
    {%- do refuse_what_no_gate_will_have_judged(changed) -%}
    {%- set standing = [] -%}
    {%- for id in gated if id not in selected and relation_of(id) -%}{%- do standing.append(id) -%}{%- endfor -%}
    {%- if standing -%}
        {%- do note_what_was_judged(standing) -%}
    {%- else -%}
        {%- do run_query('drop table if exists ' ~ noted_fingerprints()) -%}
    {%- endif -%}
{%- endmacro %}

{# What the run builds. dbt retry, which takes it from the results of the run before, does not say it. #}
{% macro selected_nodes() -%}
    {{ return(selected_resources or run_query('select unnest(nodes_to_retry())').columns[0].values()) }}
{%- endmacro %}

{# After a run: on-run-end. #}
{% macro settle_what_was_left() -%}
    {{ adapter.dispatch('settle_what_was_left')() }}
{%- endmacro %}

{% macro default__settle_what_was_left() -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'seed') -%}
        {%- do settle_gates(nodes_in(['gates', 'estimates', 'reports']) | reject('in', selected_nodes()) | list) -%}
        {%- set kept = [] -%}
        {%- if relation_of(all_gates()) and not critical_failures("expectation <> 'judged'") -%}
            {#- What judges the estimates stays, to say why they are gone. -#}
            {%- do kept.extend([gate_of_estimates()] if critical_failures(gate=gate_of_estimates()) else nodes_in(['estimates', 'reports'])) -%}
        {%- endif -%}
        {%- set dropped = drop_nodes(nodes_in(['estimates', 'reports']) | reject('in', kept) | list) -%}
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

{# What was judged, and has been built since: node and fingerprint as judged. It exists only while that is in question. #}
{% macro noted_fingerprints() -%}
    {{ return(api.Relation.create(database=target.database, schema=target.schema, identifier='noted_fingerprints')) }}
{%- endmacro %}

{# The critical failures of a gate that hold estimates back, as lines, all marks of one run in one; none of a gate that is not built. #}
{% macro critical_failures(condition='true', gate=none) -%}
    {%- set accepted = 'false' if env_var('ACCEPTED_GATE_FAILURES', '') else 'true' -%}
    {%- set results = relation_of(gate or all_gates()) -%}
    {{ return(run_query(
        "select string_agg(suite, ', ' order by suite) || ': ' || description from " ~ results
        ~ " where severity = 'critical' and not success and " ~ accepted ~ ' and ' ~ condition
        ~ " group by description, case when expectation <> 'judged' then suite end order by all"
    ).columns[0].values() if results else []) }}
{%- endmacro %}

{# Refuse, before anything is changed, what would stand beside tables that no gate has judged. #}
{% macro refuse_what_no_gate_will_have_judged(changed) -%}
    {%- set selected = selected_nodes() -%}
    {%- set judged = nodes_above(all_gates()) -%}
    {%- set touched = judged | select('in', selected) | list -%}
    {%- set stale = [] -%}
    {%- if touched or changed -%}
        {%- for node in judged if node not in selected -%}
            {%- set above = nodes_above(node) -%}
            {%- if above | select('in', touched) | list or above | select('in', changed) | list -%}
                {%- do stale.append(node) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {%- for gate in nodes_in(['gates']) if gate in selected -%}
        {%- set left = nodes_above(gate) | select('in', stale) | list -%}
        {%- if left -%}
            {{ exceptions.raise_compiler_error(
                'The selection builds ' ~ names_of([gate]) ~ ' but not ' ~ names_of(left)
                ~ ', so the gate would judge tables of different deliveries. Nothing was changed. '
                ~ 'Run dbt build, or dbt build --select +gate_results+.'
            ) }}
        {%- endif -%}
    {%- endfor -%}
    {%- set held = nodes_in(['estimates', 'reports']) | select('in', selected) | list -%}
    {%- if held and all_gates() not in selected -%}
        {%- if touched -%}
            {{ exceptions.raise_compiler_error(
                'The selection builds ' ~ names_of(touched) ~ ', which the gates judge, and ' ~ names_of(held)
                ~ ', but not the gates. Nothing was changed. Run dbt build, or select ' ~ names_of(touched[:1]) ~ '+.'
            ) }}
        {%- elif not relation_of(all_gates()) -%}
            {{ exceptions.raise_compiler_error(
                'The selection builds ' ~ names_of(held) ~ ', but no gate has judged their inputs. Nothing was '
                ~ 'changed. Run dbt build, or dbt build --select +gate_results+.'
            ) }}
        {%- else -%}
            {%- set failures = critical_failures() | list -%}
            {%- if gate_of_estimates() not in selected -%}
                {%- do failures.extend(critical_failures(gate=gate_of_estimates())) -%}
            {%- endif -%}
            {%- if failures -%}
                {{ exceptions.raise_compiler_error(
                    'The gate holds these estimates back; see the schema gates. Nothing was changed. Run dbt build, '
                    ~ 'which lands corrected files; dbt retry and partial selections do not.\n' ~ failures | join('\n')
                ) }}
            {%- endif -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{% macro names_of(ids) -%}
    {%- set names = [] -%}
    {%- for id in ids[:5] -%}{%- do names.append(id.split('.')[-1]) -%}{%- endfor -%}
    {{ return(names | join(', ') ~ (' and ' ~ (ids | length - 5) ~ ' more' if ids | length > 5 else '')) }}
{%- endmacro %}

{# Before the run: fingerprints of what it builds below what stands, and a mark on each gate that it leaves out. #}
{% macro note_what_was_judged(standing) -%}
    {%- set selected = selected_nodes() -%}
    {%- set watched, left = {}, {} -%}
    {%- for id in standing -%}
        {%- if graph.nodes[id].fqn[1] == 'gates' -%}
            {%- set touched = nodes_above(id) | select('in', selected) | list -%}
            {%- if touched -%}{%- do left.update({id: true}) -%}{%- endif -%}
        {%- else -%}
            {%- set touched = judged_tables() | select('in', selected) | list -%}
        {%- endif -%}
        {%- for node in touched -%}{%- do watched.update({node: true}) -%}{%- endfor -%}
    {%- endfor -%}
    {%- if watched -%}
        {%- do run_query('create table if not exists ' ~ noted_fingerprints() ~ ' (node varchar primary key, fingerprint varchar)') -%}
        {#- What is noted already was judged before an earlier run. -#}
        {%- do run_query('insert or ignore into ' ~ noted_fingerprints() ~ ' ' ~ fingerprints(watched | list)) -%}
    {%- endif -%}
    {%- for id in left -%}
        {%- set name = graph.nodes[id].name -%}
        {%- for results in tables_of_results(id) -%}
            {%- do run_query(
                'insert into ' ~ results ~ ' (extract_set, suite, expectation, description, severity, success) '
                ~ "select current_extract_set(), '" ~ name ~ "', 'judged', 'What this judges was built again since: "
                ~ "dbt build --select +gate_results+.', 'critical', false where not exists ("
                ~ 'select 1 from ' ~ results ~ " where expectation = 'judged' and suite = '" ~ name ~ "')"
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}

{# What the gates read: their parents. #}
{% macro judged_tables() -%}
    {%- set found = [] -%}
    {%- for gate in nodes_in(['gates']) if gate != all_gates() -%}
        {%- do found.extend(graph.nodes[gate].depends_on.nodes) -%}
    {%- endfor -%}
    {{ return(found | unique | list) }}
{%- endmacro %}

{# Where the results of a gate stand: in its own table and in that of all gates. #}
{% macro tables_of_results(gate) -%}
    {{ return([relation_of(gate), relation_of(all_gates())] | select | unique | list) }}
{%- endmacro %}

{# One row per node: a table's columns and the hash of its rows in any order, or of a view's definition. #}
{% macro fingerprints(ids) -%}
    {%- set selects = [] -%}
    {%- for id in ids -%}
        {%- set relation = relation_of(id) -%}
        {%- if not relation -%}
            {%- set value = "select 'absent'" -%}
        {%- elif relation.type == 'view' -%}
            {%- set value -%}
                select md5(sql) from duckdb_views()
                where
                    database_name = current_database()
                    and schema_name = '{{ relation.schema }}'
                    and view_name = '{{ relation.identifier }}'
            {%- endset -%}
        {%- else -%}
            {%- set value -%}
                select concat_ws(' ', count(*), sum(hash(counted)), md5(any_value(typeof(counted))))
                from {{ relation }} as counted
            {%- endset -%}
        {%- endif -%}
        {%- do selects.append("select '" ~ id ~ "' as node, (" ~ value ~ ') as fingerprint') -%}
    {%- endfor -%}
    {{ return(selects | join(' union all ')) }}
{%- endmacro %}

{#
Compare what is noted with what is there now. Take the mark from gates under which nothing has changed, drop estimates and
reports (those among `droppable`) of tables that have, and return the nodes that have changed and are not judged.
#}
{% macro settle_gates(droppable) -%}
    {%- set unjudged = {} -%}
    {%- set notes = noted_fingerprints() -%}
    {%- if run_query(
        "select 1 from duckdb_tables() where database_name = current_database() and schema_name = '" ~ notes.schema
        ~ "' and table_name = '" ~ notes.identifier ~ "'"
    ).rows -%}
        {%- set noted = run_query('select node from ' ~ notes).columns[0].values() | select('in', graph.nodes) | list -%}
        {%- set changed = run_query(
            'select node from ' ~ notes ~ ' inner join (' ~ fingerprints(noted) ~ ') as now using (node) '
            ~ 'where ' ~ notes.identifier ~ '.fingerprint <> now.fingerprint order by node'
        ).columns[0].values() if noted else [] -%}
        {%- set changed_below = changed | select('in', judged_tables()) | list -%}
        {%- if changed_below -%}
            {%- set dropped = drop_nodes(nodes_in(['estimates', 'reports']) | select('in', droppable) | list) -%}
            {%- if dropped -%}
                {%- do exceptions.warn(
                    names_of(changed_below) ~ ' changed, so ' ~ dropped | length ~ ' estimates and reports of the '
                    ~ 'older tables were dropped. Run dbt build --select +gate_results+ to judge and rebuild them.'
                ) -%}
            {%- endif -%}
        {%- endif -%}
        {%- for gate in nodes_in(['gates']) if relation_of(gate) -%}
            {%- set name = graph.nodes[gate].name -%}
            {%- set mark = " where expectation = 'judged' and suite = '" ~ name ~ "'" -%}
            {%- if run_query('select 1 from ' ~ relation_of(gate) ~ mark).rows -%}
                {%- set above = nodes_above(gate) | select('in', changed) | list -%}
                {%- for node in above -%}{%- do unjudged.update({node: true}) -%}{%- endfor -%}
                {%- for results in tables_of_results(gate) -%}
                    {%- do run_query(
                        'update ' ~ results ~ ' set observed_value = ' ~ literal(tojson(['changed: ' ~ names_of(above)])) ~ mark
                        if above else 'delete from ' ~ results ~ mark
                    ) -%}
                {%- endfor -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if unjudged -%}
            {%- do run_query('delete from ' ~ notes ~ " where node not in ('" ~ unjudged | join("', '") ~ "')") -%}
        {%- else -%}
            {%- do run_query('drop table ' ~ notes) -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(unjudged | list) }}
{%- endmacro %}
