with

rules as (
    select * from {{ ref('verdict_rules') }}
),

designs as (
    select * from {{ ref('claim_designs') }}
),

-- Specifications that estimate each column of the paper's tables, one per research design.
specified as (
    select
        specifications.table_id,
        specifications.column_number,
        specifications.specification_id,
        specifications.status,
        specifications.is_partial,
        designs.design,
        designs.design_order
    from {{ ref('rpt_specifications') }} as specifications
    inner join designs using (reading)
    where designs.question <> 'reading'
),

coefficients as (
    select * from {{ ref('rpt_coefficients') }}
),

inference as (
    select * from {{ ref('est_inference') }}
),

influence as (
    select * from {{ ref('est_influence') }}
),

sensitivity as (
    select * from {{ ref('est_sensitivity') }}
),

-- Coefficient that the paper prints in each column; in an event study, the average coefficient from the event year on.
printed as (
    select
        table_id,
        column_number,
        avg(cast(estimate as double)) as printed_value
    from {{ ref('published_estimates') }}
    where not starts_with(term, 'before')
    group by table_id, column_number
),

averages as (
    select * from inference
    where method = 'average'
),

claims as (
    select
        specified.*,
        printed.printed_value,
        coefficients.estimator,
        coefficients.regressor,
        coefficients.observation_count,
        coefficients.substitutions,
        coefficients.substitutions_zh,
        coalesce(
            coefficients.reason,
            averages.reason,
            case when specified.is_partial then 'The period has only part of the printed years.' end
        ) as reason,
        coalesce(
            coefficients.reason_zh,
            averages.reason_zh,
            case when specified.is_partial then '样本期仅含论文的部分年份。' end
        ) as reason_zh,
        cast(coefficients.is_sound as integer) as is_sound,
        case when coefficients.estimator <> 'event_study' then coefficients.detectable_province end as detectable,
        {%- for claimed, column in [
            ('estimate', 'estimate'), ('std_error', 'std_error_province'), ('conf_low', 'conf_low_province'),
            ('conf_high', 'conf_high_province'), ('p_value', 'p_value_province')
        ] %}
        case when coefficients.estimator = 'event_study' then averages.{{ claimed }} else coefficients.{{ column }} end
            as {{ claimed }},
        {%- endfor %}
        case when coefficients.estimator <> 'event_study' then coefficients.p_value end as p_value_city
    from specified
    inner join printed using (table_id, column_number)
    inner join coefficients
        on
            specified.specification_id = coefficients.specification_id
            and (
                coefficients.term = coefficients.regressor
                or (coefficients.estimator = 'event_study' and coefficients.term_order = 1)
            )
    left join averages on specified.specification_id = averages.specification_id
),

-- Share of simulations with a known true effect in which each check fails, computed by benchmarks/designs.py.
powers as (
    select
        power.table_id,
        power.column_number,
        power.design,
        power.check_id,
        {%- for language, comma in [('en', '; '), ('zh', '；')] %}
        string_agg(
            labels.label_{{ language }} || ' ' || format('{:.0f} %', 100 * power.fails_share), '{{ comma }}'
            order by labels.label_order
        ) as power_{{ language }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ ref('check_power') }} as power
    inner join {{ ref('labels') }} as labels
        on
            labels.kind = 'truth'
            and power.truth = labels.name
    group by power.table_id, power.column_number, power.design, power.check_id
),

-- All statistics to which verdict_rules.csv refers, combined into one long table.
figures as (
    select
        specification_id,
        'estimate' as source,
        '' as method,
        '' as setting,
        'measure' as term,
        unnest(['p_province', 'p_bonferroni', 'contains_printed', 'p_city', 'is_sound', 'detectable_share']) as figure,
        unnest([
            p_value,
            least(1, p_value * count(p_value) over (partition by design)),
            case when not is_partial then cast(printed_value between conf_low and conf_high as integer) end,
            p_value_city,
            is_sound,
            detectable / abs(printed_value)
        ]) as value
    from claims
    union all by name
    select
        inference.specification_id,
        'inference' as source,
        inference.method,
        inference.setting,
        case
            when inference.term = claims.regressor then 'measure'
            when inference.term = claims.regressor || '_next_year' then 'next_year'
            when inference.term = claims.regressor || '_later' then 'later'
            when inference.term in ('before', 'average') then inference.term
        end as term,
        'p_value' as figure,
        inference.p_value as value,
        inference.reason,
        inference.reason_zh
    from inference
    inner join claims using (specification_id)
    union all by name
    select
        influence.specification_id,
        'influence' as source,
        influence.method,
        influence.setting,
        'measure' as term,
        unnest(['p_value_without', 'moved_share', 'fallen_share']) as figure,
        unnest([
            case when count(*) = count(influence.p_value_without) then max(influence.p_value_without) end,
            max(abs(influence.difference / claims.printed_value)),
            max(1 - influence.estimate_without / influence.estimate)
        ]) as value,
        -- Largest plausible change of the estimate, relative to the printed value: the further end of the difference's
        -- confidence interval, or the difference itself if no interval exists.
        max(
            coalesce(
                greatest(abs(influence.conf_low_difference), abs(influence.conf_high_difference)),
                abs(influence.difference)
            )
            / abs(claims.printed_value)
        ) as furthest,
        bool_or(influence.conf_low_difference * influence.conf_high_difference > 0) as is_significant,
        -- Whether the estimate falls towards zero, by a one-sided test at 5 %.
        bool_or(influence.p_value_difference < 0.1 and influence.difference * influence.estimate < 0) as has_fallen,
        max(influence.statistic_difference) as statistic,
        min(influence.reason) as reason,
        min(influence.reason_zh) as reason_zh
    from influence
    inner join claims
        on
            influence.specification_id = claims.specification_id
            and influence.term = claims.regressor
    group by influence.specification_id, influence.method, influence.setting
    union all by name
    select
        sensitivity.specification_id,
        'sensitivity' as source,
        sensitivity.method,
        sensitivity.setting,
        case when sensitivity.term in ('first', 'average', 'path') then sensitivity.term else 'measure' end as term,
        unnest(['value', 'average_share', 'breakdown', 'excludes_zero']) as figure,
        unnest([
            sensitivity.value,
            -- Average of a linear trend with the given yearly slope over the years from the event on, relative to the
            -- printed value.
            sensitivity.value * (1 + {{ var('event_window')[1] }} / 2.0) / abs(claims.printed_value),
            case when sensitivity.bound is null then sensitivity.value end,
            case
                when sensitivity.bound is not null
                    then cast(sensitivity.conf_low * sensitivity.conf_high > 0 as integer)
            end
        ]) as value,
        sensitivity.reason,
        sensitivity.reason_zh
    from sensitivity
    inner join claims using (specification_id)
),

answers as (
    select * from figures
    where
        value is not null
        or reason is not null
),

checked as (
    select
        claims.*,
        rules.* exclude (rules.estimator),
        powers.power_en,
        powers.power_zh,
        answers.value,
        answers.furthest,
        answers.statistic,
        coalesce(answers.reason, claims.reason) as why,
        coalesce(answers.reason_zh, claims.reason_zh) as why_zh,
        case rules.comparison
            when 'below' then answers.value < rules.threshold
            when 'at_least' then answers.value >= rules.threshold
            when 'at_most' then answers.value <= rules.threshold
            when 'fall_at_most'
                then
                    answers.value <= rules.threshold
                    and not (answers.has_fallen and answers.value > rules.fails_above_if_significant)
            -- The result is null if the change may exceed the limit but may also be due to chance.
            when 'movement_at_most'
                then case
                    when answers.value > rules.fails_above then false
                    when answers.is_significant and answers.value > rules.fails_above_if_significant then false
                    when answers.furthest <= rules.threshold then true
                end
        end as passes
    from claims
    inner join rules
        on
            claims.estimator = rules.estimator
            and (rules.tables is null or list_contains(string_split(rules.tables, ' '), claims.table_id))
            -- Checks that do not affect the verdict are reported only for the paper's own design.
            and (claims.design_order = 1 or rules.aspect <> 'told')
    left join powers using (table_id, column_number, design, check_id)
    left join answers
        on
            claims.specification_id = answers.specification_id
            and rules.source = answers.source
            and coalesce(rules.method, '') = answers.method
            and coalesce(rules.setting, '') = answers.setting
            and rules.term = answers.term
            and rules.figure = answers.figure
),

-- Reported checks and the values for their sentences. A check with `asked_if` is reported only if the check named there
-- passes, for example if the estimate differs from zero.
worded as (
    select
        checked.*,
        map {
            'figure': case
                when starts_with(checked.figure, 'p_') then {{ p_text('checked.value') }}
                when checked.figure = 'moved_share' then printf('%.0f', 100 * checked.value)
                else format('{:.3g}', checked.value)
            end,
            'low': printf('%.3f', checked.conf_low),
            'high': printf('%.3f', checked.conf_high),
            'printed': printf('%.3f', checked.printed_value),
            'statistic': printf('%.2f', checked.statistic),
            'furthest': case when checked.statistic is not null then printf('%.0f', 100 * checked.furthest) end,
            'left': printf('%.2f', 1 - checked.value),
            'unflagged': case when checked.statistic is null then format('{:,}', checked.observation_count) end
        } as texts
    from checked
    left join checked as conditions
        on
            checked.specification_id = conditions.specification_id
            and checked.asked_if = conditions.check_id
    where
        checked.asked_if is null
        or conditions.passes
),

final as (
    select
        {{ extract_set() }} as extract_set,
        * exclude (
            estimator, regressor, observation_count, reason, reason_zh, is_sound, tables, asked_if,
            comparison, fails_above, fails_above_if_significant, source, method, setting, term, figure, value,
            furthest, statistic, why, why_zh, texts, passes_en, fails_en, passes_zh, fails_zh
        ),
        value as figure,
        case
            when value is null then concat_ws(' ', 'Not made.', why)
            else {{ complete_sentences(replaced('case when passes then passes_en else fails_en end', 'texts')) }}
        end as sentence,
        case
            when value is null then concat_ws('', '未进行。', why_zh)
            else {{ complete_sentences(replaced('case when passes then passes_zh else fails_zh end', 'texts')) }}
        end as sentence_zh
    from worded
)

select * from final
order by table_id, column_number, check_order
