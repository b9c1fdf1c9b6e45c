{{ config(group='analysis') }}
-- Return terms with estimates from both implementations that est_route_differences, and therefore the gate, does not
-- compare.
select
    second_route.specification_id,
    second_route.term
from {{ ref('est_second_route') }} as second_route
inner join {{ ref('est_coefficients') }} as first_route using (specification_id, term)
anti join {{ ref('est_route_differences') }} using (specification_id, term)
where first_route.estimate is not null
