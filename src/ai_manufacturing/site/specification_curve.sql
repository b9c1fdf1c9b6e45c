-- name: curve
with curves as (
    select
        curve_id,
        columns(lambda name: list_contains($axes, name)),
        bool_or(is_dominated) as is_dominated,
        min(standardised_estimate) as standardised_estimate,
        min(estimate) as estimate,
        min(p_value) filter (where errors = 'city') as p_value_by_city,
        min(p_value) filter (where errors = 'province') as p_value_by_province,
        min(std_error) filter (where errors = 'city') as std_error_by_city,
        min(std_error) filter (where errors = 'province') as std_error_by_province,
        min(observation_count) as observation_count,
        min(city_count) as city_count,
        min(std_error * standardised_estimate / nullif(estimate, 0))
        filter (where errors = 'province') as error,
        min(degrees_of_freedom) filter (where errors = 'province') as degrees_of_freedom,
        case
            when bool_and(p_value < 0.05) then 'both'
            else coalesce(min(errors) filter (where p_value < 0.05), 'neither')
        end as significant_by
    from estimates.est_specification_curve
    where standardised_estimate is not null
    group by all
)

select
    row_number() over (order by standardised_estimate, curve_id) as rank,
    * exclude (curve_id)
from curves
order by rank;

-- name: part_of_years
select distinct
    first_year,
    last_year,
    asked_first_year,
    asked_last_year
from reports.rpt_specifications
where
    specification_id in (select specification_id from estimates.est_specification_curve)
    and (first_year, last_year) <> (asked_first_year, asked_last_year);

-- name: withheld
select count(distinct curve_id) as curve_count
from estimates.est_specification_curve
where status <> 'not_estimable' and standardised_estimate is null;

-- name: missing
select
    reason,
    reason_zh,
    count(distinct curve_id) as specification_count
from estimates.est_specification_curve
where status = 'not_estimable'
group by all
order by specification_count desc, reason asc;

-- name: permuted_shares
select
    statistic,
    observed,
    permuted_mean,
    p_value
from estimates.est_specification_curve_joint
where
    choices = 'without_dominated'
    and errors = 'province'
    and statistic in ('share_of_sign', 'share_significant');

-- name: headline
select
    outcome,
    regressor,
    controls as control_variables,
    scope,
    transform,
    weighting,
    fixed_effects,
    'default' as provider,
    'all' as city_sample,
    'levels' as dynamics,
    'current' as prices
from reports.rpt_specifications
where specification_id in (select specification_id from estimates.est_specification_curve);
