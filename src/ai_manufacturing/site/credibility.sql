-- name: designs
select
    *,
    table_id || column_number as claim
from reports.rpt_verdicts
where estimate is not null
order by design_order;

-- name: verdicts
select
    verdict_en,
    verdict_zh,
    meaning,
    meaning_zh,
    count(*) as column_count
from reports.rpt_verdicts
where design_order = 1
group by all
order by column_count desc, verdict_en asc;

-- name: score
select
    count(*) as printed,
    count(estimated_value) as estimated,
    count(case when verdict = 'compatible' then 1 end) as compatible,
    count(case when verdict = 'cannot_tell' then 1 end) as cannot_tell,
    count(case when verdict in ('differs', 'not_found') then 1 end) as excluded,
    count(case when verdict = 'not_comparable' then 1 end) as partial
from reports.rpt_replication_scorecard;

-- name: columns
select
    v.*,
    l.association,
    l.association_en,
    l.association_zh,
    l.ai_en,
    l.ai_zh,
    l.ai_meaning,
    l.ai_meaning_zh,
    s.regressor,
    s.estimator,
    s.reason,
    s.reason_zh,
    coalesce(s.outcome_label_en, s.outcome) as outcome_en,
    coalesce(s.outcome_label_zh, s.outcome) as outcome_zh,
    s.regressor_label_en as regressor_en,
    s.regressor_label_zh as regressor_zh,
    p.printed_text,
    p.printed_stars,
    p.printed_std_error_text,
    p.estimated_stars,
    p.conf_low as city_conf_low,
    p.conf_high as city_conf_high,
    case
        when row_number() over alike > 1
            then concat(
                case
                    when d.description_en ~ '[A-Z][a-z].*' then lower(d.description_en[1])
                    else d.description_en[1]
                end,
                rtrim(d.description_en[2:], '.')
            )
    end as variant_en,
    case when row_number() over alike > 1 then d.description_zh end as variant_zh
from reports.rpt_verdicts as v
inner join reports.rpt_claims as l using (table_id, column_number)
inner join reports.rpt_specifications as s on v.specification_id = s.specification_id
left join reports.rpt_replication_scorecard as p
    on
        v.specification_id = p.specification_id
        and v.table_id = p.table_id
        and v.column_number = p.column_number
        and s.regressor = p.term
left join marts.data_dictionary as d
    on
        d.table_name = concat('rpt_', v.table_id)
        and d.column_name = concat('column_', v.column_number)
where v.design_order = 1
window alike as (partition by s.outcome, s.regressor order by s.specification_order)
order by s.specification_order;

-- name: permuted
with main as (
    select *
    from reports.rpt_verdicts
    where specification_id in (select specification_id from reports.rpt_findings)
),

permuted as (
    select w.*
    from estimates.est_permuted_weights as w
    inner join main using (specification_id)
    where permutation is not null
)

select
    'permuted' as kind,
    permutation,
    estimate
from permuted
union all
select
    unnest(['own', 'printed']),
    null,
    unnest([estimate, printed_value])
from main
where exists (from permuted)
order by kind, permutation;
