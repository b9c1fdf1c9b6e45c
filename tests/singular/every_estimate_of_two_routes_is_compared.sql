{{ config(group='analysis') }}
-- Terms that both routes estimate and est_route_differences, which the gate judges, lost.
select
    specification_id,
    term
from {{ ref('est_second_route') }}
semi join {{ ref('est_coefficients') }} as first_route
    on
        est_second_route.specification_id = first_route.specification_id
        and est_second_route.term = first_route.term
        and first_route.estimate is not null
anti join {{ ref('est_route_differences') }} as compared
    on
        est_second_route.specification_id = compared.specification_id
        and est_second_route.term = compared.term
