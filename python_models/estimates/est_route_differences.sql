with

second_route as (
    select * from {{ ref('est_second_route') }}
),

first_route as (
    select * from {{ ref('est_coefficients') }}
    where estimate is not null
),

estimated_first as (
    select first_route.*
    from first_route
    semi join second_route on first_route.specification_id = second_route.specification_id
),

-- Compare only specifications that the first implementation (route) can estimate.
estimated_second as (
    select second_route.*
    from second_route
    semi join first_route on second_route.specification_id = first_route.specification_id
),

compared as (
    select
        specification_id,
        term,
        first_route.estimate,
        second_route.estimate as second_estimate,
        first_route.std_error,
        second_route.std_error as second_std_error
    from estimated_first as first_route
    full outer join estimated_second as second_route using (specification_id, term)
),

final as (
    select
        {{ extract_set() }} as extract_set,
        *,
        -- With very few cities, the first route has no standard error, and only the estimates must exist in both.
        estimate is not null
        and second_estimate is not null
        and (std_error is null or second_std_error is not null) as is_in_both,
        abs(second_estimate - estimate) / nullif(greatest(abs(estimate), coalesce(std_error, 0)), 0)
            as estimate_difference,
        abs(second_std_error - std_error) / nullif(std_error, 0) as std_error_difference
    from compared
)

select * from final
