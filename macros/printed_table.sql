{#
A table of the paper, wide, as printed: estimates with stars, errors in brackets, N and R2, one column a regression.
A column is the first of its headline specifications, in the order of the seed, that could be estimated; if none
could, the first one and its reason.
#}
{% macro printed_table(table_id, column_count) -%}
with

specifications as (
    select
        *,
        row_number() over () as seed_order
    from {{ ref('regression_specifications') }}
    where
        table_id = '{{ table_id }}'
        and is_headline
),

coefficients as (
    select * from {{ ref('rpt_coefficients') }}
),

terms as (
    select
        coefficients.*,
        specifications.seed_order
    from coefficients
    inner join specifications on coefficients.specification_id = specifications.specification_id
),

chosen as (
    select
        column_number,
        arg_min(
            specification_id,
            case when status = 'estimated' then seed_order else 1000000 + seed_order end
        ) as specification_id
    from terms
    group by column_number
),

printed as (
    select terms.*
    from terms
    inner join chosen on terms.specification_id = chosen.specification_id
),

cells as (
    {%- for line, expression in [
        (1, "printf('%.3f', estimate) || " ~ stars('p_value')),
        (2, "printf('(%.3f)', std_error)")
    ] %}
    select
        column_number,
        0 as block,
        term,
        {{ line }} as line,
        {{ expression }} as cell
    from printed
    where
        term = regressor
        and status = 'estimated'
    union all
    {%- endfor %}
    {%- for label_en, label_zh, expression in [
        ('Controls', '控制变量', "case when status = 'estimated' then 'yes' end"),
        ('City effects', '城市固定效应', "case when status = 'estimated' then 'yes' end"),
        ('Year effects', '年份固定效应', "case when status = 'estimated' then 'yes' end"),
        ('Observations', '样本量', 'cast(observation_count as varchar)'),
        ('R2 (effects included)', 'R²', "printf('%.3f', r2_inclusive)"),
        ('Cities', '城市数', 'cast(city_count as varchar)'),
        ('Outcome', '被解释变量', 'outcome'),
        ('Specification', '模型设定', 'specification_id'),
        ('What stands in for what', '替代说明', "nullif(substitutions, '')"),
        ('Not estimable', '无法估计', 'reason')
    ] %}
    select
        column_number,
        {{ loop.index }} as block,
        '{{ label_en }}|{{ label_zh }}' as term,
        1 as line,
        {{ expression }} as cell
    from printed
    where term = regressor
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

extract_sets as (
    select max(extract_set) as extract_set
    from printed
),

final as (
    select
        row_number() over (order by cells.block, min(cells.column_number), cells.term, cells.line) as row_number,
        case when cells.line = 1 then coalesce(max(labels.label_en), split_part(cells.term, '|', 1)) else '' end
            as label_en,
        case when cells.line = 1 then coalesce(max(labels.label_zh), split_part(cells.term, '|', 2)) else '' end
            as label_zh,
        {%- for number in range(1, column_count + 1) %}
        max(case when cells.column_number = {{ number }} then cells.cell end) as column_{{ number }},
        {%- endfor %}
        max(extract_sets.extract_set) as extract_set
    from cells
    cross join extract_sets
    left join {{ ref('measure_labels') }} as labels on cells.term = labels.measure
    where cells.cell is not null
    group by cells.block, cells.term, cells.line
)

select * from final
order by row_number
{%- endmacro %}
