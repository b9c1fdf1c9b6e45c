-- name: groups
select
    h.*,
    s.regressor,
    max(case when is_reference then group_name end)
        over (partition by h.specification_id) as reference,
    difference as estimate,
    difference_conf_low_province as conf_low,
    difference_conf_high_province as conf_high
from reports.rpt_heterogeneity as h
left join reports.rpt_specifications as s on h.specification_id = s.specification_id
order by h.grouping asc, h.specification_id asc, is_reference desc, group_name asc;
