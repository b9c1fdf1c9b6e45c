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

outcome_of_status as (
    select
        specification_id,
        min(status) as status,
        min(reason) as reason,
        min(reason_zh) as reason_zh,
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
        outcome_of_status.sample_first_year,
        outcome_of_status.sample_last_year,
        specifications.fixed_effects,
        specifications.covariance,
        specifications.options,
        specifications.providers,
        specifications.description,
        outcome_of_status.status,
        outcome_of_status.reason,
        outcome_of_status.reason_zh
    from specifications
    inner join outcome_of_status on specifications.specification_id = outcome_of_status.specification_id
    left join panel_outcomes on specifications.outcome = panel_outcomes.variable
    left join count_outcomes on specifications.outcome = count_outcomes.outcome
    left join regressors on specifications.regressor = regressors.term
)

select * from final
