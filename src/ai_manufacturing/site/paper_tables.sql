-- name: scorecard
select
    table_id,
    column_number,
    label_en,
    label_zh,
    concat(printed_text, printed_stars) as estimate,
    concat('(', printed_std_error_text, ')') as std_error,
    cast(printed_observation_count as varchar) as observations,
    printed_r2_text as r2_inclusive
from reports.rpt_replication_scorecard
order by
    coalesce(try_cast(replace(replace(term, 'before', '-'), 'after', '') as integer), 0),
    term;
