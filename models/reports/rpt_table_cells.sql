{%- set rounded = {
    'r2_inclusive': 'r2_inclusive',
    'r2_within': 'r2_within',
    'outcome_mean': 'outcome_mean',
    'pre_trend': "case when estimator = 'event_study' then joint_p_value end",
    'ar1': 'ar1_p_value',
    'ar2': 'ar2_p_value',
    'hansen': 'hansen_p_value',
    'level_hansen': 'level_hansen_p_value'
} -%}
{%- set whole = {
    'observations': 'observation_count',
    'cities': 'city_count',
    'first_year': 'sample_first_year',
    'last_year': 'sample_last_year',
    'clusters': 'cluster_count',
    'instruments': 'instrument_count'
} -%}
{#- Lines with text cells: a name that has labels in both languages, or an English and a Chinese text. -#}
{%- set words = {
    'outcome': ('outcome_en', 'outcome_zh'),
    'controls': ("case when is_estimated and has_controls then 'yes' when is_estimated then 'no' end", 'null'),
    'fixed_effects': ('case when is_estimated then fixed_effects_en end', 'fixed_effects_zh'),
    'covariance': ('case when cluster_count is not null then covariance end', 'null'),
    'estimator': ('estimator', 'null'),
    'specification': ('specification_id', 'null'),
    'mechanical': ("case when status = 'mechanical' then 'yes' end", 'null'),
    'substitutions': ("case when is_estimated then nullif(substitutions, '') end", 'substitutions_zh'),
    'warnings': ('warnings', 'warnings_zh'),
    'not_estimable': ('reason', 'reason_zh')
} -%}
with

specifications as (
    select * from {{ ref('rpt_specifications') }}
    where table_id in (select published.table_id from {{ ref('published_estimates') }} as published)
),

labels as (
    select
        terms_in_order.name as term,
        terms_in_order.label_order,
        dim_labels.label_en,
        dim_labels.label_zh
    from {{ ref('labels') }} as terms_in_order
    inner join {{ ref('dim_labels') }} as dim_labels using (kind, name)
    where terms_in_order.kind = 'term'
),

coefficients as (
    select
        coefficients.*,
        -- In an event study, the outcome is a count, so the label also names its transform.
        specifications.outcome_label_en
        || case
            when specifications.estimator = 'event_study'
                then ' (' || coalesce(transforms.label_en, specifications.transform) || ')'
            else ''
        end as outcome_en,
        specifications.outcome_label_zh
        || case
            when specifications.estimator = 'event_study'
                then '（' || coalesce(transforms.label_zh, specifications.transform) || '）'
            else ''
        end as outcome_zh,
        coalesce(effects.label_en, specifications.fixed_effects) as fixed_effects_en,
        coalesce(effects.label_zh, specifications.fixed_effects) as fixed_effects_zh,
        coalesce(specifications.controls, '') <> '' as has_controls,
        coefficients.status <> 'not_estimable' as is_estimated
    from {{ ref('rpt_coefficients') }} as coefficients
    inner join specifications using (specification_id)
    left join labels as effects on specifications.fixed_effects = effects.term
    left join labels as transforms on specifications.transform = transforms.term
),

regressions as (
    select * from coefficients
    where term_order = 1
),

checks as (
    select * from {{ ref('est_inference') }}
    where
        method in ('crv3', 'wild_restricted')
        and setting = 'cluster=province'
),

terms as (
    select
        coefficients.*,
        labels.label_order,
        labels.label_en,
        labels.label_zh,
        {{ stars('coefficients') }} as stars,
        {{ taken_away('coefficients') }} as taken_away,
        case
            when coefficients.status <> 'mechanical'
                then coalesce(bootstraps.p_value, coefficients.bootstrap_p_value)
        end as wild_p_value,
        coalesce(errors.reason, 'No error by province can be made.') as no_province_error,
        coalesce(errors.reason_zh, '无法计算按省的标准误。') as no_province_error_zh,
        case
            when coefficients.status = 'mechanical'
                then 'A regressor computed from the outcome is not tested, so it has no p-value.'
            else
                coalesce(
                    bootstraps.reason,
                    'The wild bootstrap is run for the measure in the columns of the paper with fixed effects.'
                )
        end as no_wild_p_value,
        case
            when coefficients.status = 'mechanical' then '由被解释变量构成的解释变量，没有p值可以检验。'
            else coalesce(bootstraps.reason_zh, '野聚类自助法仅用于论文各列中以固定效应估计的融合指标。')
        end as no_wild_p_value_zh
    from coefficients
    inner join labels using (term)
    left join checks as errors
        on
            coefficients.specification_id = errors.specification_id
            and coefficients.term = errors.term
            and errors.method = 'crv3'
    left join checks as bootstraps
        on
            coefficients.specification_id = bootstraps.specification_id
            and coefficients.term = bootstraps.term
            and bootstraps.method = 'wild_restricted'
    where coefficients.is_estimated
),

-- Terms that the paper prints in columns that could not be estimated.
missing_terms as (
    select
        regressions.*,
        labels.term as missing_term,
        labels.label_order,
        labels.label_en,
        labels.label_zh
    from regressions
    inner join {{ ref('published_estimates') }} as published using (table_id, column_number)
    inner join labels on published.term = labels.term
    where not regressions.is_estimated
),

cells as (
    {%- for kind, value, opening, closing, reason in [
        ('estimate', 'estimate', "''", "coalesce(stars, '') || taken_away", none),
        ('std_error', 'std_error', "'('", "')'", none),
        ('province_error', 'std_error_province', "'['", "']'", 'no_province_error'),
        ('wild_p_value', 'wild_p_value', "'{'", "'}'", 'no_wild_p_value')
    ] %}
    select
        specification_id,
        '{{ kind }}' as line_kind,
        term,
        label_order,
        {%- if kind == 'estimate' %}
        label_en,
        label_zh,
        {%- endif %}
        {%- if reason %}
        case when {{ value }} is null then {{ reason }} end as reason,
        case when {{ value }} is null then {{ reason }}_zh end as reason_zh,
        {%- endif %}
        {{ value }} as value,
        true as is_rounded,
        {{ opening }} as opening,
        {{ closing }} as closing
    from terms
    union all by name
    {%- endfor %}
    select
        specification_id,
        'estimate' as line_kind,
        missing_term as term,
        label_order,
        label_en,
        label_zh,
        true as is_rounded,
        reason,
        reason_zh
    from missing_terms
    {%- for kind, value in (rounded | items | list) + (whole | items | list) %}
    union all by name
    select
        specification_id,
        '{{ kind }}' as line_kind,
        {{ value }} as value,
        {{ kind in rounded }} as is_rounded
    from regressions
    {%- endfor %}
    {%- for kind, (value, value_zh) in words.items() %}
    union all by name
    select
        specification_id,
        '{{ kind }}' as line_kind,
        false as is_rounded,
        {{ value }} as words,
        {{ value_zh }} as words_zh
    from regressions
    {%- endfor %}
),

printed as (
    select
        cells.* replace (coalesce(cells.opening, '') as opening, coalesce(cells.closing, '') as closing),
        lines.is_p_value,
        lines.line_order,
        lines.label_en as line_label_en,
        lines.label_zh as line_label_zh,
        case
            when cells.value is null then cells.words
            when not cells.is_rounded then cast(cast(cells.value as bigint) as varchar)
            when lines.is_p_value and cells.value < 0.0005 then concat(cells.opening, '<0.001', cells.closing)
            else concat(cells.opening, printf('%.3f', cells.value), cells.closing)
        end as cell
    from cells
    inner join {{ ref('printed_lines') }} as lines using (line_kind)
),

final as (
    select
        {{ extract_set() }} as extract_set,
        specifications.table_id,
        specifications.column_number,
        specifications.specification_id,
        specifications.specification_order,
        specifications.reading,
        specifications.covariance,
        cast(
            dense_rank() over (
                partition by specifications.table_id
                order by printed.label_order nulls last, printed.line_order
            ) as integer
        ) as line_number,
        printed.line_kind,
        printed.term,
        coalesce(printed.label_en, printed.line_label_en, '') as label_en,
        coalesce(printed.label_zh, printed.line_label_zh, '') as label_zh,
        printed.cell,
        printed.words_zh as cell_zh,
        specifications.reading = 'default' and printed.line_kind <> 'wild_p_value' and printed.cell is not null
            as is_in_table,
        cast(printed.value as double) as value,
        printed.is_rounded,
        printed.is_p_value,
        printed.opening,
        printed.closing,
        printed.reason,
        printed.reason_zh
    from printed
    inner join specifications using (specification_id)
    where
        printed.cell is not null
        or printed.reason is not null
)

select * from final
