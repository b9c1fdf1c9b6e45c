with

specifications as (
    select * from {{ ref('int_specifications_resolved') }}
),

checks as (
    select * from {{ ref('inference_checks') }}
),

final as (
    select
        specifications.specification_id,
        checks.method,
        coalesce(checks.setting, '') as setting,
        checks.check_order
    from specifications
    inner join checks
        on
            specifications.estimator = checks.estimator
            and case checks.specifications
                when 'shown' then specifications.reading = 'default'
                when 'headline' then specifications.is_headline
                when 'all' then true
                else specifications.specification_id = checks.specifications
            end
)

select * from final
order by specification_id, check_order, method, setting
