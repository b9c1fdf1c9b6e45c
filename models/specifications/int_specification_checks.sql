with

specifications as (
    select * from {{ ref('int_specifications_resolved') }}
),

checks as (
    select
        *,
        row_number() over () as seed_order
    from {{ ref('inference_checks') }}
),

final as (
    select
        specifications.specification_id,
        checks.method,
        coalesce(checks.setting, '') as setting,
        checks.seed_order
    from specifications
    inner join checks
        on
            specifications.estimator = checks.estimator
            and case checks.specifications
                when 'shown' then specifications.reading = 'default'
                when 'headline' then specifications.is_headline
                else specifications.specification_id = checks.specifications
            end
)

select * from final
order by specification_id, seed_order
