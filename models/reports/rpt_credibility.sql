with

rules as (
    select * from {{ ref('verdict_rules') }}
),

columns_shown as (
    select * from {{ ref('rpt_column_specifications') }}
),

coefficients as (
    select * from {{ ref('rpt_coefficients') }}
),

-- The claim of a column: its first term, or in an event study the average of the years from the event on.
claims as (
    select
        published.table_id,
        published.column_number,
        avg(cast(published.estimate as double)) as printed_value,
        count(*) as printed_count
    from {{ ref('published_estimates') }} as published
    where not starts_with(published.term, 'before')
    group by published.table_id, published.column_number
),

estimated as (
    select
        columns_shown.table_id,
        columns_shown.column_number,
        columns_shown.specification_id,
        columns_shown.status,
        claims.printed_value,
        min(coefficients.estimator) as estimator,
        min(coefficients.substitutions) as substitutions,
        min(coefficients.substitutions_zh) as substitutions_zh,
        min(coefficients.reason) as reason,
        min(coefficients.reason_zh) as reason_zh,
        -- Of an event study the average of the years from the event on that the paper prints.
        avg(coefficients.estimate) filter (
            where
            coefficients.term = coefficients.regressor
            or coefficients.event_time between 0 and {{ var('event_window')[1] }}
        ) as estimate,
        min(coefficients.p_value) filter (where coefficients.term = coefficients.regressor) as p_value,
        cast(bool_and(coefficients.is_sound) as integer) as is_sound
    from columns_shown
    inner join claims
        on
            columns_shown.table_id = claims.table_id
            and columns_shown.column_number = claims.column_number
    inner join coefficients on columns_shown.specification_id = coefficients.specification_id
    group by all
),

-- Every table of checks in one form: what the rules ask of it.
answers as (
    select
        'estimate' as source,
        specification_id,
        '' as method,
        '' as setting,
        'measure' as term,
        null as bound,
        unnest(['p_value', 'is_sound']) as figure,
        unnest([p_value, is_sound]) as value,
        null as reason,
        null as reason_zh
    from estimated
    union all
    select
        'inference' as source,
        inference.specification_id,
        inference.method,
        inference.setting,
        'measure' as term,
        null as bound,
        unnest(['p_value', 'excludes_zero']) as figure,
        unnest([inference.p_value, cast(inference.conf_low * inference.conf_high > 0 as integer)]) as value,
        -- An interval that is empty says why.
        coalesce(inference.reason, inference.warnings) as reason,
        coalesce(inference.reason_zh, inference.warnings_zh) as reason_zh
    from {{ ref('est_inference') }} as inference
    inner join {{ ref('int_specifications_resolved') }} as specifications
        on
            inference.specification_id = specifications.specification_id
            and inference.term = specifications.regressor
    union all
    select
        'influence' as source,
        influence.specification_id,
        influence.method,
        influence.setting,
        'measure' as term,
        null as bound,
        'p_value_without' as figure,
        max(influence.p_value_without) as value,
        min(influence.reason) as reason,
        min(influence.reason_zh) as reason_zh
    from {{ ref('est_influence') }} as influence
    inner join {{ ref('int_specifications_resolved') }} as specifications
        on
            influence.specification_id = specifications.specification_id
            and influence.term = specifications.regressor
    group by influence.specification_id, influence.method, influence.setting
    union all
    select
        'sensitivity' as source,
        sensitivity.specification_id,
        sensitivity.method,
        sensitivity.setting,
        case when sensitivity.term in ('first', 'average', 'path') then sensitivity.term else 'measure' end as term,
        sensitivity.bound,
        unnest(['value', 'magnitude', 'excludes_zero', 'detectable_share', 'slope_share']) as figure,
        unnest([
            sensitivity.value,
            abs(sensitivity.value),
            cast(sensitivity.conf_low * sensitivity.conf_high > 0 as integer),
            -- Of an interval: twice 1.96 errors wide, and 2.80 errors are found with a power of 80 %.
            coalesce(sensitivity.value, 2.80 * (sensitivity.conf_high - sensitivity.conf_low) / 3.92)
            / abs(estimated.printed_value),
            sensitivity.value / abs(estimated.printed_value)
        ]) as value,
        sensitivity.reason,
        sensitivity.reason_zh
    from {{ ref('est_sensitivity') }} as sensitivity
    inner join estimated on sensitivity.specification_id = estimated.specification_id
),

checked as (
    select
        estimated.*,
        rules.check_id,
        rules.check_order,
        rules.aspect,
        rules.threshold,
        rules.passes_en,
        rules.passes_zh,
        rules.fails_en,
        rules.fails_zh,
        answers.value as figure,
        format('{:.3g}', answers.value) as figure_text,
        answers.reason as check_reason,
        answers.reason_zh as check_reason_zh,
        case rules.comparison
            when 'below' then answers.value < rules.threshold
            when 'at_least' then answers.value >= rules.threshold
            when 'at_most' then answers.value <= rules.threshold
        end as passes
    from estimated
    inner join rules on estimated.estimator = rules.estimator
    left join answers
        on
            estimated.specification_id = answers.specification_id
            and rules.source = answers.source
            and coalesce(rules.method, '') = answers.method
            and coalesce(rules.setting, '') = answers.setting
            and rules.term = answers.term
            and rules.figure = answers.figure
            and (rules.bound is null or rules.bound = answers.bound)
),

judged as (
    select
        specification_id,
        case
            when status = 'not_estimable' then 'no_data'
            when status = 'mechanical' then 'mechanical'
            when bool_or(aspect = 'sound' and not passes) or bool_and(figure is null) filter (where aspect = 'found')
                then 'cannot_be_judged'
            when bool_or(aspect = 'found' and passes) and bool_or(sign(estimate) <> sign(printed_value))
                then 'opposite_sign'
            when bool_or(aspect = 'found' and not passes) and bool_or(aspect = 'power' and passes) then 'not_found'
            when bool_or(aspect = 'found' and not passes) then 'cannot_be_judged'
            when bool_or(aspect = 'robust' and not passes) then 'not_robust'
            when bool_or(aspect = 'ai' and not passes) then 'holds_not_ai'
            else 'holds'
        end as verdict
    from checked
    group by specification_id, status
),

final as (
    select
        current_extract_set() as extract_set,
        checked.table_id,
        checked.column_number,
        checked.specification_id,
        checked.check_id,
        cast(checked.check_order as bigint) as check_order,
        checked.aspect,
        checked.printed_value,
        checked.estimate,
        checked.figure,
        checked.threshold,
        checked.passes,
        case
            when checked.figure is null then coalesce(checked.check_reason, checked.reason)
            else replace(
                case when checked.passes then checked.passes_en else checked.fails_en end,
                '{figure}',
                checked.figure_text
            )
        end as sentence,
        case
            when checked.figure is null then coalesce(checked.check_reason_zh, checked.reason_zh)
            else replace(
                case when checked.passes then checked.passes_zh else checked.fails_zh end,
                '{figure}',
                checked.figure_text
            )
        end as sentence_zh,
        judged.verdict,
        checked.substitutions,
        checked.substitutions_zh
    from checked
    inner join judged on checked.specification_id = judged.specification_id
)

select * from final
order by table_id, column_number, check_order
