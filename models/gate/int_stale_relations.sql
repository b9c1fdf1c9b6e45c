{{ config(materialized='view') }}

with recursive

built as (
    select
        relation,
        max(node) as node,
        max(built_at) as built_at,
        arg_max(inputs, built_at) as inputs
    from {{ built_relations() }}
    where
        relation in (select tables.table_schema || '.' || tables.table_name from information_schema.tables)
        or relation like '%.csv'
    group by relation
),

edges as (
    select
        node,
        relation,
        built_at,
        unnest(inputs) as input_node
    from built
),

-- dbt nodes on which the gate or the estimates depend, directly or indirectly.
judged as (
    select unnest({{ inputs_of(graph.nodes['model.ai_manufacturing.judged_relations']) if execute else [] }}) as node
    union
    select edges.input_node as node
    from edges
    inner join judged on edges.node = judged.node
),

final as (
    select
        edges.node,
        edges.relation,
        edges.built_at,
        -- If a seed is older than its CSV file, return the seed itself, because dbt's --select cannot select a CSV
        -- file.
        case when inputs.relation like '%.csv' then edges.node else inputs.node end as input_node,
        inputs.relation as input_relation,
        inputs.built_at as input_built_at,
        edges.node in (select judged.node from judged) as is_judged
    from edges
    inner join built as inputs on edges.input_node = inputs.node
    where edges.built_at < inputs.built_at
)

select * from final
