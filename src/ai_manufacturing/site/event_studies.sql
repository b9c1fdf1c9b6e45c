-- name: studies
select
    s.*,
    concat(s.table_id, '_', s.column_number) as column_id,
    i.p_value as pre_trend_p_value,
    i.reason as pre_trend_reason,
    i.reason_zh as pre_trend_reason_zh,
    c.observation_count,
    c.city_count,
    c.substitutions,
    c.substitutions_zh,
    c.warnings,
    c.warnings_zh
from reports.rpt_specifications as s
inner join reports.rpt_coefficients as c on s.specification_id = c.specification_id
left join estimates.est_inference as i
    on s.specification_id = i.specification_id and i.method = 'pre_trend'
where s.estimator = 'event_study'
qualify row_number() over (partition by s.specification_id order by c.term_order) = 1
order by s.table_id, s.column_number, s.specification_order;

-- name: points
with estimated as (
    select
        *,
        concat(table_id, '_', column_number) as column_id
    from reports.rpt_coefficients
    where estimator = 'event_study' and status <> 'not_estimable'
)

select
    c.specification_id,
    c.column_id,
    c.transform,
    c.reading,
    c.event_time,
    c.estimate,
    c.conf_low_province as conf_low,
    c.conf_high_province as conf_high,
    try_cast(p.printed_text as double) as printed_estimate
from estimated as c
left join reports.rpt_replication_scorecard as p
    on c.specification_id = p.specification_id and c.term = p.term
where c.event_time is not null
-- Add the omitted reference year, whose coefficient is zero by normalisation.
union all
select distinct
    specification_id,
    column_id,
    transform,
    reading,
    -1,
    0.0,
    null,
    null,
    null
from estimated
order by specification_id, event_time;

-- name: other_sign
select
    concat(c.table_id, '_', c.column_number) as column_id,
    c.term,
    c.estimate,
    c.std_error_province,
    c.p_value_province,
    i.estimate as poisson,
    i.std_error as poisson_error,
    i.p_value as poisson_p_value
from estimates.est_inference as i
inner join reports.rpt_coefficients as c
    on i.specification_id = c.specification_id and i.term = c.term
where i.method = 'poisson' and c.estimate * i.estimate < 0
order by c.specification_id, c.term_order;
