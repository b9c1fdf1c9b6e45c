{{ config(materialized='ephemeral') }}

with

-- None where nobody delivers a concordance.
concordance as (
    select
        cast(null as varchar) as ipc_class,
        cast(null as varchar) as nace_division,
        cast(null as double) as probability
    where false
    {%- for provider in var('register_providers')['industry_concordance'] %}
    union all by name
    select * from {{ ref('stg_' ~ provider ~ '__industry_concordance') }}
    where origin.valid_until_delivery is null
    {%- endfor %}
),

nace_sections as (
    select * from {{ ref('nace_sections') }}
),

industry_scopes as (
    select * from {{ ref('industry_scopes') }}
),

scopes as (
    select distinct scope from industry_scopes
),

-- Ordered, as doubles are. A class without a division of the scope has a share of zero.
final as (
    select
        concordance.ipc_class,
        scopes.scope,
        sum(
            case when industry_scopes.section is null then 0 else concordance.probability end
            order by concordance.nace_division
        ) as share
    from concordance
    inner join nace_sections using (nace_division)
    cross join scopes
    left join industry_scopes using (scope, section)
    group by concordance.ipc_class, scopes.scope
)

select * from final
