{#
Return the name of the table that logs each build with its time and inputs; int_stale_relations reads it.
#}
{% macro built_relations() -%}
    {{ adapter.quote(target.database) }}.{{ generate_schema_name('raw', none) }}.built_relations
{%- endmacro %}

{#
On-run-start hook: create the table, and log each seed file whose content changed since the last run. The row of a file
has its path as node and its checksum as the only input, so that a seed loaded before the change is older than its file.
#}
{% macro make_built_relations() -%}
    {%- if execute and target.type == 'duckdb' and flags.WHICH in ('build', 'run', 'seed') -%}
        create schema if not exists {{ adapter.quote(target.database) }}.{{ generate_schema_name('raw', none) }};
        create table if not exists {{ built_relations() }} (
            node varchar, relation varchar, built_at timestamp, inputs varchar[]
        );
        comment on table {{ built_relations() }} is
            'One row per build of a model or seed and per change of a seed file: when, UTC, and of what.';
        insert into {{ built_relations() }}
        select files.path, files.path, make_timestamp(epoch_us(now())), [files.checksum]
        from (
            values
            {%- for seed in graph.nodes.values() | selectattr('resource_type', 'equalto', 'seed') %}
            ('{{ seed.original_file_path }}', '{{ seed.checksum.checksum }}'){{ ',' if not loop.last }}
            {%- endfor %}
        ) as files(path, checksum)
        left join (
            select node, arg_max(inputs[1], built_at) as checksum from {{ built_relations() }} group by node
        ) as known on files.path = known.node
        where known.checksum is distinct from files.checksum;
    {%- endif -%}
{%- endmacro %}

{# Post-hook: log the build of a model or seed, in its transaction. #}
{% macro record_built() -%}
    {%- if execute and target.type == 'duckdb' -%}
        insert into {{ built_relations() }}
        values (
            '{{ model.name }}', '{{ this.schema }}.{{ this.identifier }}', make_timestamp(epoch_us(now())),
            {{ inputs_of(graph.nodes[model.unique_id]) | string }}
        )
    {%- endif -%}
{%- endmacro %}

{#
List the inputs of a node; the input of a seed is its file. Ephemeral models are replaced by their own inputs, and views
are listed together with theirs, because neither stores rows.
#}
{% macro inputs_of(node) -%}
    {%- set names = [node.original_file_path] if node.resource_type == 'seed' else [] -%}
    {%- for id in node.depends_on.get('nodes', []) if id in graph.nodes -%}
        {%- set parent = graph.nodes[id] -%}
        {%- if parent.config.materialized != 'ephemeral' -%}{%- do names.append(parent.name) -%}{%- endif -%}
        {%- if parent.config.materialized in ('ephemeral', 'view') -%}{%- do names.extend(inputs_of(parent)) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(names | unique | list) }}
{%- endmacro %}
