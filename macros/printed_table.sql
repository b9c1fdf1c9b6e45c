{#
A table of the paper, wide, as printed: estimates with stars, errors in ( ), errors by province in [ ], N and R2, one column
a regression; below them what the errors are clustered by, the years of the sample, and what a reader must know.
Which specification a column shows is in rpt_column_specifications.
#}
{% macro printed_table(table_id, column_count) -%}
with

columns_shown as (
    select * from {{ ref('rpt_column_specifications') }}
    where table_id = '{{ table_id }}'
),

labels as (
    select
        terms_in_order.term,
        terms_in_order.term_order,
        dim_labels.label_en,
        dim_labels.label_zh
    from {{ ref('term_labels') }} as terms_in_order
    inner join {{ ref('dim_labels') }} as dim_labels
        on
            dim_labels.kind = 'term'
            and terms_in_order.term = dim_labels.name
),

specifications as (
    select * from {{ ref('int_specifications_resolved') }}
),

coefficients as (
    select coefficients.*
    from {{ ref('rpt_coefficients') }} as coefficients
    inner join columns_shown on coefficients.specification_id = columns_shown.specification_id
),

terms as (
    select
        coefficients.*,
        labels.term_order as label_order,
        labels.label_en,
        labels.label_zh
    from coefficients
    inner join labels on coefficients.term = labels.term
    where coefficients.status <> 'not_estimable'
),

regressions as (
    select
        coefficients.*,
        null as label_order,
        coalesce(specifications.controls, '') <> '' as has_controls,
        coefficients.status <> 'not_estimable' as is_estimated
    from coefficients
    inner join specifications on coefficients.specification_id = specifications.specification_id
    where coefficients.term_order = 1
),

cells as (
    {%- for line_kind, expression in {
        'estimate': "printf('%.3f', estimate) || coalesce(" ~ stars('terms') ~ ", '') || " ~ taken_away('terms'),
        'std_error': "printf('(%.3f)', std_error)",
        'province_error': "case when covariance <> 'province' then printf('[%.3f]', std_error_province) end",
        'controls': "case when is_estimated and has_controls then 'yes' when is_estimated then 'no' end",
        'city_effects': "case when is_estimated then 'yes' end",
        'year_effects': "case when is_estimated then 'yes' end",
        'observations': 'cast(observation_count as varchar)',
        'r2_inclusive': "printf('%.3f', r2_inclusive)",
        'r2_within': "printf('%.3f', r2_within)",
        'cities': 'cast(city_count as varchar)',
        'first_year': 'cast(sample_first_year as varchar)',
        'last_year': 'cast(sample_last_year as varchar)',
        'outcome_mean': "printf('%.3f', outcome_mean)",
        'covariance': "case when cluster_count is not null then covariance end",
        'clusters': 'cast(cluster_count as varchar)',
        'pre_trend': "case when estimator = 'event_study' then printf('%.3f', joint_p_value) end",
        'ar1': "printf('%.3f', ar1_p_value)",
        'ar2': "printf('%.3f', ar2_p_value)",
        'hansen': "printf('%.3f', hansen_p_value)",
        'level_hansen': "printf('%.3f', level_hansen_p_value)",
        'instruments': 'cast(instrument_count as varchar)',
        'outcome': 'outcome',
        'estimator': 'estimator',
        'specification': 'specification_id',
        'substitutions': "case when is_estimated then nullif(substitutions, '') end",
        'mechanical': "case when status = 'mechanical' then 'yes' end",
        'warnings': 'warnings',
        'not_estimable': 'reason'
    }.items() %}
    select
        column_number,
        '{{ line_kind }}' as line_kind,
        label_order as term_order,
        {{ 'label_en' if line_kind == 'estimate' else 'null' }} as label_en,
        {{ 'label_zh' if line_kind == 'estimate' else 'null' }} as label_zh,
        {{ expression }} as cell
    from {{ 'terms' if line_kind in ('estimate', 'std_error', 'province_error') else 'regressions' }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

final as (
    select
        row_number() over (order by cells.term_order nulls last, lines.line_order) as row_number,
        cells.line_kind,
        coalesce(cells.label_en, lines.label_en, '') as label_en,
        coalesce(cells.label_zh, lines.label_zh, '') as label_zh,
        {%- for number in range(1, column_count + 1) %}
        max(case when cells.column_number = {{ number }} then cells.cell end) as column_{{ number }},
        {%- endfor %}
        current_extract_set() as extract_set
    from cells
    inner join {{ ref('printed_lines') }} as lines on cells.line_kind = lines.line_kind
    where
        cells.cell is not null
        and cells.column_number <= {{ column_count }}
    group by cells.term_order, lines.line_order, cells.line_kind, cells.label_en, cells.label_zh, lines.label_en, lines.label_zh
)

select * from final
order by row_number
{%- endmacro %}
