-- Two routes to one number: slopes and clustered errors may differ by rounding alone.
select
    estimated.specification_id,
    estimated.term,
    estimated.estimate,
    second_route.estimate as by_panel_ols,
    estimated.std_error,
    second_route.std_error as error_by_panel_ols
from {{ ref('est_fixed_effects') }} as estimated
inner join {{ ref('est_second_route') }} as second_route
    on
        estimated.specification_id = second_route.specification_id
        and estimated.term = second_route.term
where
    estimated.status = 'estimated'
    and (
        abs(estimated.estimate - second_route.estimate) > 1e-8 * greatest(abs(estimated.estimate), estimated.std_error)
        or abs(estimated.std_error - second_route.std_error) > 1e-8 * estimated.std_error
    )
