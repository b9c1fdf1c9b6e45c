-- name: designs
select * replace (cast(declared_on as varchar) as declared_on)
from reports.rpt_verdicts
where table_id = $table_id and column_number = $column_number and estimate is not null
order by design_order;

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
