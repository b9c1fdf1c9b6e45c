{#
A table of the paper, wide, as printed: estimates with stars, errors in brackets, N and R2, one column a regression;
below them what the errors are clustered by, the years of the sample, and what a reader must know.
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
    select * from {{ ref('regression_specifications') }}
),

coefficients as (
    select coefficients.*
    from {{ ref('rpt_coefficients') }} as coefficients
    inner join columns_shown on coefficients.specification_id = columns_shown.specification_id
),

terms as (
    select
        coefficients.*,
        labels.term_order as line_order,
        labels.label_en,
        labels.label_zh
    from coefficients
    inner join labels on coefficients.term = labels.term
    where coefficients.status <> 'not_estimable'
),

regressions as (
    select
        coefficients.*,
        coalesce(specifications.controls, '') <> '' as has_controls,
        coefficients.status <> 'not_estimable' as is_estimated
    from coefficients
    inner join specifications on coefficients.specification_id = specifications.specification_id
    where coefficients.term_order = 1
),

cells as (
    {%- for line, expression in [
        (1, "printf('%.3f', estimate) || coalesce(" ~ stars('terms') ~ ", '')"),
        (2, "printf('(%.3f)', std_error)")
    ] %}
    select
        column_number,
        0 as block,
        line_order,
        {{ line }} as line,
        {% if line == 1 %}label_en{% else %}''{% endif %} as label_en,
        {% if line == 1 %}label_zh{% else %}''{% endif %} as label_zh,
        {{ expression }} as cell
    from terms
    union all
    {%- endfor %}
    {%- for label_en, label_zh, expression in [
        ('Controls', '控制变量', "case when is_estimated and has_controls then 'yes' when is_estimated then 'no' end"),
        ('City effects', '城市固定效应', "case when is_estimated then 'yes' end"),
        ('Year effects', '年份固定效应', "case when is_estimated then 'yes' end"),
        ('Observations', '样本量', 'cast(observation_count as varchar)'),
        ('R2 (effects included)', 'R²', "printf('%.3f', r2_inclusive)"),
        ('R2 within', '组内R²', "printf('%.3f', r2_within)"),
        ('Cities', '城市数', 'cast(city_count as varchar)'),
        ('First year of the sample', '样本起始年份', 'cast(sample_first_year as varchar)'),
        ('Last year of the sample', '样本终止年份', 'cast(sample_last_year as varchar)'),
        ('Errors clustered by', '标准误聚类于', "case when cluster_count is not null then covariance end"),
        ('Clusters', '聚类数', 'cast(cluster_count as varchar)'),
        ('H0: no effect before the event, p', '原假设：事前各年均无效应，p值',
            "case when estimator = 'event_study' then printf('%.3f', joint_p_value) end"),
        ('AR(1), p', 'AR(1) p值', "printf('%.3f', ar1_p_value)"),
        ('AR(2), p', 'AR(2) p值', "printf('%.3f', ar2_p_value)"),
        ('Hansen, p', 'Hansen p值', "printf('%.3f', hansen_p_value)"),
        ('Difference-in-Hansen, p', 'difference-in-Hansen p值', "printf('%.3f', level_hansen_p_value)"),
        ('Instruments', '工具变量数', 'cast(instrument_count as varchar)'),
        ('Outcome', '被解释变量', 'outcome'),
        ('Estimator', '估计方法', 'estimator'),
        ('Specification', '模型设定', 'specification_id'),
        ('Substitutions', '替代说明', "nullif(substitutions, '')"),
        ('The regressor holds the outcome', '解释变量包含被解释变量', "case when status = 'mechanical' then 'yes' end"),
        ('Warnings', '警示', 'warnings'),
        ('Not estimable', '无法估计', 'reason')
    ] %}
    select
        column_number,
        {{ loop.index }} as block,
        0 as line_order,
        1 as line,
        '{{ label_en }}' as label_en,
        '{{ label_zh }}' as label_zh,
        {{ expression }} as cell
    from regressions
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

extract_sets as (
    select max(extract_set) as extract_set
    from columns_shown
),

final as (
    select
        row_number() over (order by cells.block, cells.line_order, cells.line) as row_number,
        cells.label_en,
        cells.label_zh,
        {%- for number in range(1, column_count + 1) %}
        max(case when cells.column_number = {{ number }} then cells.cell end) as column_{{ number }},
        {%- endfor %}
        max(extract_sets.extract_set) as extract_set
    from cells
    cross join extract_sets
    where
        cells.cell is not null
        and cells.column_number <= {{ column_count }}
    group by cells.block, cells.line_order, cells.line, cells.label_en, cells.label_zh
)

select * from final
order by row_number
{%- endmacro %}
