{{ config(materialized='ephemeral') }}

with

-- The first select defines the columns, so that the table exists but is empty if no provider delivers titles.
titles as (
    select
        cast(null as varchar) as publication_number,
        cast(null as varchar) as title,
        cast(null as varchar[]) as ipc_subclasses
    where false
    {%- for provider in var('register_providers')['patent_titles'] %}
    union all by name
    select * from {{ ref('stg_' ~ provider ~ '__patent_titles') }}
    where origin.valid_until_delivery is null
    {%- endfor %}
),

subclasses as (
    select
        publication_number,
        unnest(ipc_subclasses) as ipc_subclass
    from titles
),

classes as (
    select * from {{ ref('ai_ipc_classes') }}
),

in_sets as (
    select
        subclasses.publication_number,
        bool_or(classes.class_set = 'core') as is_core,
        bool_or(classes.class_set = 'narrow') as is_narrow,
        bool_or(classes.class_set = 'wide') as is_wide
    from subclasses
    inner join classes on starts_with(subclasses.ipc_subclass, classes.ipc)
    group by subclasses.publication_number
),

final as (
    select
        titles.publication_number,
        titles.title,
        coalesce(in_sets.is_core, false) as is_core,
        coalesce(in_sets.is_narrow, false) as is_narrow,
        coalesce(in_sets.is_wide, false) as is_wide
    from titles
    left join in_sets using (publication_number)
)

select * from final
