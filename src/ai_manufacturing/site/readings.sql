-- name: estimates
select
    c.*,
    s.specification_order,
    s.description,
    s.controls,
    s.subsample,
    s.grouping,
    s.fixed_effects,
    s.providers,
    s.error_en,
    s.error_zh,
    s.error_province_en,
    s.error_province_zh,
    coalesce(s.outcome_label_en, s.outcome) as outcome_en,
    coalesce(s.outcome_label_zh, s.outcome) as outcome_zh,
    coalesce(s.regressor_label_en, s.regressor) as regressor_en,
    coalesce(s.regressor_label_zh, s.regressor) as regressor_zh,
    try_cast(p.printed_text as double) as printed
from reports.rpt_coefficients as c
inner join reports.rpt_specifications as s on c.specification_id = s.specification_id
left join reports.rpt_replication_scorecard as p
    on
        c.table_id = p.table_id
        and c.column_number = p.column_number
        and c.term = p.term
where
    c.estimator <> 'event_study'
    and c.table_id <> 'heterogeneity'
    and (c.term = c.regressor or c.status = 'not_estimable')
order by c.table_id not like 'table%', c.table_id, c.column_number, s.specification_order;

-- name: weights
select
    specification_id,
    100 * max(case when setting = 'figure=share' then value end) as share,
    max(case when setting = 'figure=sum' then value end) as sum
from estimates.est_sensitivity
where method = 'negative_weights'
group by specification_id;

-- name: inference
select i.*
from estimates.est_inference as i
left join reports.rpt_coefficients as c
    on
        i.specification_id = c.specification_id
        and i.term = c.term
where
    i.specification_id in (
        select specification_id
        from estimates.est_inference
        where status <> 'not_estimable'
    )
order by i.specification_id, c.term_order, i.term, i.rowid;

-- name: influence
with places as (
    select
        'city' as unit_kind,
        city_id as unit_id,
        name_en,
        name_zh
    from marts.dim_city
    union
    select
        'province',
        province_id,
        province_name_en,
        province_name_zh
    from marts.dim_city
)

select
    e.*,
    p.name_en as left_out_en,
    p.name_zh as left_out_zh,
    split_part(e.setting, '=', 2) as errors
from estimates.est_influence as e
inner join reports.rpt_specifications as s on e.specification_id = s.specification_id
left join places as p on e.unit_kind = p.unit_kind and e.unit_id = p.unit_id
where
    e.status <> 'not_estimable'
    and (e.rank = 1 or e.method in ('leave_out_flagged', 'with_city_trends'))
    and (e.term = s.regressor or s.estimator <> 'fixed_effects')
order by e.specification_id asc, e.term asc, e.method desc, e.unit_kind desc, e.unit_id asc, errors asc;
