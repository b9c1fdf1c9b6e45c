-- name: designs
select
    verdicts.* replace (cast(verdicts.declared_on as varchar) as declared_on),
    coefficients.observation_count,
    coefficients.city_count
from reports.rpt_verdicts as verdicts
inner join reports.rpt_coefficients as coefficients
    on
        verdicts.specification_id = coefficients.specification_id
        and coefficients.term_order = 1
where
    verdicts.table_id = $table_id
    and verdicts.column_number = $column_number
    and verdicts.estimate is not null
order by verdicts.design_order;

-- name: strip
select
    reading_en,
    reading_zh,
    estimate,
    std_error,
    conf_low,
    conf_high,
    says
from reports.rpt_claim_readings
where table_id = $table_id and column_number = $column_number and says is not null
order by estimate;
