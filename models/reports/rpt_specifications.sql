with

specifications as (
    select * from {{ ref('int_specifications_resolved') }}
),

panel_outcomes as (
    select * from {{ ref('dim_variable') }}
),

-- An event study's outcome is a count, named as on the regressor's side, where it is M_AI.
count_outcomes as (
    select
        name as outcome,
        label_en,
        label_zh
    from {{ ref('dim_labels') }}
    where kind = 'measure'
),

regressors as (
    select
        name as term,
        label_en,
        label_zh
    from {{ ref('dim_labels') }}
    where kind = 'term'
),

-- A regression is mechanical if one of its terms is, and cannot be estimated only if none of them can.
estimated as (
    select
        specification_id,
        arg_min(status, list_position(['mechanical', 'estimated', 'not_estimable'], status)) as status,
        arg_min(reason, term_order) as reason,
        arg_min(reason_zh, term_order) as reason_zh,
        min(sample_first_year) as sample_first_year,
        max(sample_last_year) as sample_last_year
    from {{ ref('rpt_coefficients') }}
    group by specification_id
),

final as (
    select
        current_extract_set() as extract_set,
        specifications.specification_id,
        specifications.specification_order,
        specifications.table_id,
        specifications.column_number,
        specifications.reading,
        specifications.estimator,
        specifications.outcome,
        coalesce(count_outcomes.label_en, panel_outcomes.label_en) as outcome_label_en,
        coalesce(count_outcomes.label_zh, panel_outcomes.label_zh) as outcome_label_zh,
        specifications.regressor,
        regressors.label_en as regressor_label_en,
        regressors.label_zh as regressor_label_zh,
        specifications.transform,
        specifications.weighting,
        specifications.scope,
        specifications.controls,
        specifications.subsample,
        specifications.grouping,
        specifications.first_year,
        specifications.last_year,
        estimated.sample_first_year,
        estimated.sample_last_year,
        specifications.fixed_effects,
        specifications.covariance,
        specifications.options,
        specifications.providers,
        specifications.description,
        estimated.status,
        estimated.reason,
        estimated.reason_zh
    from specifications
    inner join estimated on specifications.specification_id = estimated.specification_id
    left join panel_outcomes on specifications.outcome = panel_outcomes.variable
    left join count_outcomes on specifications.outcome = count_outcomes.outcome
    left join regressors on specifications.regressor = regressors.term
)

select * from final
