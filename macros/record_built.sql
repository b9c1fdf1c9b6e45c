{# When each relation of this file was built, and of what: one row per build, which intermediate.int_stale_relations compares. #}
{% macro built_relations() -%}
    {{ adapter.quote(target.database) }}.{{ generate_schema_name('raw', none) }}.built_relations
{%- endmacro %}

{#
Before a run. A seed file counts as built when a run first finds its content changed: its row has the checksum in place of
inputs, and a seed that was loaded before is older than its file.
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

{# After a model or a seed, in its transaction. #}
{% macro record_built() -%}
    {%- if execute and target.type == 'duckdb' -%}
        insert into {{ built_relations() }}
        values (
            '{{ model.name }}', '{{ this.schema }}.{{ this.identifier }}', make_timestamp(epoch_us(now())),
            {{ inputs_of(graph.nodes[model.unique_id]) | string }}
        )
    {%- endif -%}
{%- endmacro %}

{# What a node is made of, a seed of its file: a model that is a part of what reads it, or a view, stands for its own inputs. #}
{% macro inputs_of(node) -%}
    {%- set names = [node.original_file_path] if node.resource_type == 'seed' else [] -%}
    {%- for id in node.depends_on.get('nodes', []) if id in graph.nodes -%}
        {%- set parent = graph.nodes[id] -%}
        {%- if parent.config.materialized != 'ephemeral' -%}{%- do names.append(parent.name) -%}{%- endif -%}
        {%- if parent.config.materialized in ('ephemeral', 'view') -%}{%- do names.extend(inputs_of(parent)) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(names | unique | list) }}
{%- endmacro %}
