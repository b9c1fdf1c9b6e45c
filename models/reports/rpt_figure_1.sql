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
    inner join columns_shown on coefficients.specification_id = columns_shown.specification_id
),

-- The year that the others are measured against: zero by construction, not by estimate.
omitted as (
    select
        specification_id,
        column_number,
        outcome,
        'omitted' as term,
        -1 as event_time,
        true as is_omitted,
        cast(0 as double) as estimate,
        cast(null as double) as conf_low,
        cast(null as double) as conf_high,
        max(pre_trend_p_value) as pre_trend_p_value,
        max(warnings) as warnings,
        max(warnings_zh) as warnings_zh
    from estimated
    group by specification_id, column_number, outcome
),

points as (
    select * from estimated
    union all
    select * from omitted
),

final as (
    select
        current_extract_set() as extract_set,
        points.specification_id,
        points.outcome,
        labels.label_en,
        labels.label_zh,
        points.event_time,
        cast({{ var('break_year') }} + points.event_time as integer) as year,
        points.is_omitted,
        points.estimate,
        points.conf_low,
        points.conf_high,
        cast(published.estimate as double) as printed_estimate,
        cast(published.std_error as double) as printed_std_error,
        points.pre_trend_p_value,
        points.warnings,
        points.warnings_zh
    from points
    inner join labels on points.outcome = labels.name
    left join published
        on
            published.table_id = 'table_5'
            and points.column_number = published.column_number
            and points.term = published.term
)

select * from final
