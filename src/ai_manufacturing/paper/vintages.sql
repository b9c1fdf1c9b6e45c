-- name: with_revised_gdp
select
    revised.specification_id,
    revised.estimate,
    revised.std_error,
    revised.observation_count,
    defaults.estimate as default_estimate,
    defaults.std_error as default_std_error,
    defaults.observation_count as default_observation_count
from reports.rpt_coefficients as revised
inner join reports.rpt_coefficients as defaults using (table_id, column_number, term)
where
    revised.specification_id = $reading
    and defaults.reading = 'default'
    and term = revised.regressor
    and revised.estimate is not null
    and defaults.estimate is not null;
