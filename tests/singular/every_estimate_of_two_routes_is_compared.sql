{{ config(group='analysis') }}
-- Return terms that both routes estimate but est_route_differences lacks, so that the gate would not compare them.
select
    second_route.specification_id,
    second_route.term
from {{ ref('est_second_route') }} as second_route
inner join {{ ref('est_coefficients') }} as first_route using (specification_id, term)
anti join {{ ref('est_route_differences') }} using (specification_id, term)
where first_route.estimate is not null
