-- name: headlines
select
    count(distinct used.specification_id),
    count(distinct estimated.specification_id),
    list(distinct used.series order by used.series) filter (not used.is_delivered)
from marts.dim_specification_series as used
left join reports.rpt_coefficients as estimated
    on
        used.specification_id = estimated.specification_id
        and estimated.estimate is not null
where used.is_headline;
