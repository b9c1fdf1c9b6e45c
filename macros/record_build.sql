{#
What a whole build was made from, and what it holds at its end: a refresh of the same publishes it (whole_build.py). Any
later run that builds begins by taking the record away.
#}
{% macro begin_build_record() -%}
    {{ adapter.dispatch('begin_build_record')() }}
{%- endmacro %}

{% macro default__begin_build_record() -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'seed') -%}
        {%- set asked = invocation_args_dict -%}
        {%- set is_plain = not (asked.empty or asked.sample or asked.defer or asked.vars) -%}
        {%- set statements = ['drop table if exists ' ~ build_record()] -%}
        {%- if flags.WHICH == 'build' and is_plain and not env_var('BUILT_BY_A_REFRESH', '')
            and not recorded_nodes() | reject('in', selected_resources) | list
        -%}
            {%- do statements.extend([
                'create table ' ~ build_record() ~ " as select '" ~ run_started_at.strftime('%Y-%m-%dT%H:%M:%S+00:00')
                ~ "' as started_at, build_inputs() as inputs, '' as landed, '' as content",
                'comment on table ' ~ build_record() ~ " is 'One row: the whole dbt build that made this file'"
            ]) -%}
            {%- for column, comment in {
                'started_at': 'When it began, UTC',
                'inputs': 'SHA-256 of deliveries, code and seeds, versions and settings, JSON',
                'landed': 'Last event of the log of deliveries, JSON',
                'content': 'Fingerprint of each relation, JSON; empty of a run that did not end well',
            }.items() -%}
                {%- do statements.append('comment on column ' ~ build_record() ~ '.' ~ column ~ ' is ' ~ literal(comment)) -%}
            {%- endfor -%}
        {%- endif -%}
        {%- do run_query(statements | join(';\n')) -%}
    {%- endif -%}
{%- endmacro %}

{% macro end_build_record(results) -%}
    {{ adapter.dispatch('end_build_record')(results) }}
{%- endmacro %}

{% macro default__end_build_record(results) -%}
    {%- if execute and flags.WHICH == 'build' -%}
        {%- set well = [] -%}
        {%- for result in results if result.status in ('success', 'pass', 'warn') -%}
            {%- do well.append(result.node.unique_id) -%}
        {%- endfor -%}
        {%- set record = "'" ~ target.schema ~ '.' ~ build_record().identifier ~ "'" -%}
        {#- Nothing is recorded of a run that began no record. -#}
        {%- set content = value_of(
            "select case when list_contains(list(name), " ~ record ~ ') then content_query(list(name)) end from ('
            ~ "select schema_name || '.' || table_name as name from duckdb_tables() where database_name = current_database())"
        ) -%}
        {%- if content and not recorded_nodes() | reject('in', well) | list -%}
            {%- do run_query(
                'update ' ~ build_record() ~ ' set landed = landed_until(), content = ('
                ~ 'select cast(json_group_object(relation, fingerprint) as varchar) from (' ~ content ~ '))'
            ) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{% macro build_record() -%}
    {{ return(api.Relation.create(database=target.database, schema=target.schema, identifier='build_record')) }}
{%- endmacro %}

{# All that a whole build builds and tests. #}
{% macro recorded_nodes() -%}
    {%- set found = [] -%}
    {%- for node in graph.nodes.values()
        if node.resource_type in ('model', 'seed', 'test') and not is_ephemeral(node.unique_id)
    -%}
        {%- do found.append(node.unique_id) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
