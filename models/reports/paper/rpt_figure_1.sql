with

columns_shown as (
    select * from {{ ref('rpt_column_specifications') }}
    where
        table_id = 'table_5'
        and column_number <= 2
),

coefficients as (
    select * from {{ ref('rpt_coefficients') }}
    where event_time is not null
),

published as (
    select * from {{ ref('published_estimates') }}
),

labels as (
    select * from {{ ref('dim_labels') }}
    where kind = 'measure'
),

estimated as (
    select
        coefficients.specification_id,
        coefficients.column_number,
        coefficients.outcome,
        coefficients.term,
        coefficients.event_time,
        false as is_omitted,
        coefficients.estimate,
        coefficients.conf_low,
        coefficients.conf_high,
        coefficients.joint_p_value as pre_trend_p_value,
        coefficients.warnings,
        coefficients.warnings_zh
    from coefficients
    inner join columns_shown using (specification_id)
),

-- Add the omitted reference year, whose coefficient is zero by construction.
points as (
    select * from estimated
    union all by name
    select
        specification_id,
        column_number,
        outcome,
        'omitted' as term,
        -1 as event_time,
        true as is_omitted,
        0 as estimate,
        max(pre_trend_p_value) as pre_trend_p_value,
        max(warnings) as warnings,
        max(warnings_zh) as warnings_zh
    from estimated
    group by specification_id, column_number, outcome
),

final as (
    select
        {{ extract_set() }} as extract_set,
        points.* exclude (column_number, term),  -- noqa: RF02
        labels.label_en,
        labels.label_zh,
        cast({{ var('break_year') }} + points.event_time as integer) as year,
        cast(published.estimate as double) as printed_estimate,
        cast(published.std_error as double) as printed_std_error
    from points
    inner join labels on points.outcome = labels.name
    left join published
        on
            published.table_id = 'table_5'
            and points.column_number = published.column_number
            and points.term = published.term
)

select * from final
