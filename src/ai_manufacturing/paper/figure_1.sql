-- name: points
select
    concat(case when l.substitution is not null then '† ' end, f.label_en) as panel,
    f.year,
    f.is_omitted,
    f.estimate,
    f.conf_low,
    f.conf_high,
    f.printed_estimate,
    l.substitution
from reports.rpt_figure_1 as f
left join marts.dim_labels as l on l.kind = 'measure' and f.outcome = l.name
where f.estimate is not null
order by f.outcome, f.year;
