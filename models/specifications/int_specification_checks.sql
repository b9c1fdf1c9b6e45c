with

specifications as (
    select * from {{ ref('int_specifications_resolved') }}
),

checks as (
    select * from {{ ref('inference_checks') }}
),

designs as (
    select * from {{ ref('claim_designs') }}
    where question <> 'reading'
),

printed_tables as (
    select distinct table_id from {{ ref('published_estimates') }}
),

final as (
    select
        specifications.specification_id,
        checks.method,
        coalesce(checks.setting, '') as setting,
        checks.check_order
    from specifications
    left join printed_tables using (table_id)
    left join designs using (reading)
    inner join checks
        on
            specifications.estimator = checks.estimator
            and case checks.specifications
                when 'shown' then specifications.reading = 'default' and printed_tables.table_id is not null
                when 'designs' then designs.design is not null and printed_tables.table_id is not null
                when 'headline' then specifications.is_headline
                when 'all' then true
                else specifications.specification_id = checks.specifications
            end
)

select * from final
order by specification_id, check_order, method, setting
