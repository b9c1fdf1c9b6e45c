-- name: main_estimate
select
    specification_id as specification,
    outcome,
    concat(transform, '_', regressor, '_scaled') as regressor,
    controls,
    coalesce(sample_first_year, first_year) as first_year,
    coalesce(sample_last_year, last_year) as last_year
from reports.rpt_specifications
where specification_id in (select specification_id from reports.rpt_findings);
