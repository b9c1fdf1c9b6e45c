{#-
Figures that are read from one row of rpt_coefficients: remark, figure, specification, term, column. A specification
that ends in a star has a twin with science spending in place of R&D personnel, used where Table 1 column 1 uses it.
-#}
{%- set read_figures = [
    (1, 'slope of log M_AI', 'table_1_col_1_ln*', 'ai_firms', 'estimate'),
    (1, 'slope of log all firms, same cities', 'table_1_col_1_firms_ln*', 'firms', 'estimate'),
    (3, 'GMM: coefficient on M_AI', 'table_4_col_4', 'ai_firms', 'estimate'),
    (3, 'GMM: coefficient on lagged log GDP', 'table_4_col_4', 'L.ln_gdp', 'estimate'),
    (3, 'GMM: Hansen p', 'table_4_col_4', 'ai_firms', 'hansen_p_value'),
    (3, 'GMM: AR(2) p', 'table_4_col_4', 'ai_firms', 'ar2_p_value'),
    (4, 'slope scaled by GDP, in logs', 'table_4_col_3_ln', 'ai_firms', 'estimate'),
    (4, 'slope scaled by GDP', 'table_4_col_3', 'ai_firms', 'estimate'),
    (4, 'slope scaled by secondary value added', 'table_4_col_3_secondary_value_added*', 'ai_firms', 'estimate'),
    (4, 'slope scaled by GDP of the rest of the province', 'table_4_col_3_rest_of_province*', 'ai_firms', 'estimate'),
    (4, 'slope scaled by firms', 'table_1_col_1', 'ai_firms', 'estimate'),
    (5, 'effect on log unit employment', 'controls_as_outcomes_1', 'ai_firms', 'estimate'),
    (5, 'p of the effect on log unit employment', 'controls_as_outcomes_1', 'ai_firms', 'p_value'),
    (5, 'effect on log R&D personnel', 'controls_as_outcomes_2', 'ai_firms', 'estimate'),
    (5, 'p of the effect on log R&D personnel', 'controls_as_outcomes_2', 'ai_firms', 'p_value'),
    (5, 'slope with population as the only control', 'table_1_col_1_population_only', 'ai_firms', 'estimate'),
    (5, 'slope with all controls', 'table_1_col_1', 'ai_firms', 'estimate'),
    (6, 'applications: joint p of the years before', 'table_6_col_1', 'before5', 'joint_p_value'),
    (6, 'applications: joint F of the years before', 'table_6_col_1', 'before5', 'joint_statistic'),
    (6, 'grants: joint p of the years before', 'table_6_col_2', 'before5', 'joint_p_value'),
    (6, 'entries: joint p of the years before', 'table_5_col_1', 'before3', 'joint_p_value'),
    (6, 'exits: joint p of the years before', 'table_5_col_2', 'before3', 'joint_p_value'),
    (7, 'R2 with effects', 'table_1_col_1', 'ai_firms', 'r2_inclusive'),
    (7, 'R2 within', 'table_1_col_1', 'ai_firms', 'r2_within'),
    (8, 'firms alone', 'table_1_col_1', 'ai_firms', 'estimate'),
    (8, 'firms beside applications and grants', 'table_1_col_1_all_three', 'ai_firms', 'estimate'),
    (8, 'applications alone', 'table_1_col_2', 'ai_patent_applications', 'estimate'),
    (8, 'applications beside firms and grants', 'table_1_col_1_all_three', 'ln_ai_patent_applications_scaled',
        'estimate'),
    (8, 'grants alone', 'table_1_col_3', 'ai_patent_grants', 'estimate'),
    (8, 'grants beside firms and applications', 'table_1_col_1_all_three', 'ln_ai_patent_grants_scaled', 'estimate'),
    (9, 'entries 2019, treated by size', 'table_5_col_1_treated_by_size*', 'after3', 'estimate'),
    (9, 'entries 2019, treated as in the paper', 'table_5_col_1', 'after3', 'estimate'),
    (9, 'exits 2019, treated by size', 'table_5_col_2_treated_by_size*', 'after3', 'estimate'),
    (10, 'error clustered by city', 'table_1_col_1', 'ai_firms', 'std_error'),
    (10, 'error clustered by province', 'table_1_col_1_province*', 'ai_firms', 'std_error'),
    (10, 'wild bootstrap p, provinces', 'table_1_col_1_province*', 'ai_firms', 'bootstrap_p_value')
] -%}
with

remarks as (
    select * from {{ ref('paper_remarks') }}
),

columns_shown as (
    select * from {{ ref('rpt_column_specifications') }}
),

coefficients as (
    select * from {{ ref('rpt_coefficients') }}
),

placebos as (
    select * from {{ ref('est_placebo') }}
),

scorecard as (
    select * from {{ ref('rpt_replication_scorecard') }}
),

panel as (
    select * from {{ ref('fct_city_year_panel') }}
),

groups as (
    select * from {{ ref('dim_city_groups') }}
),

headline as (
    select
        extract_set,
        specification_id,
        case when specification_id like '%science%' then '_science' else '' end as twin
    from columns_shown
    where
        table_id = 'table_1'
        and column_number = 1
),

asked as (
    {%- for remark_number, figure, specification_id, term, column in read_figures %}
    select
        {{ loop.index }} as figure_order,
        {{ remark_number }} as remark_number,
        '{{ figure }}' as figure,
        '{{ specification_id }}' as asked_specification_id,
        '{{ term }}' as term,
        '{{ column }}' as column_name
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

resolved as (
    select
        headline.extract_set,
        asked.*,
        -- A column of the paper is what stands for it; another reading is itself or its twin.
        coalesce(
            columns_shown.specification_id, replace(asked.asked_specification_id, '*', headline.twin)
        ) as specification_id
    from asked
    cross join headline
    left join columns_shown
        on asked.asked_specification_id = columns_shown.table_id || '_col_' || columns_shown.column_number
),

read_values as (
    select
        resolved.extract_set,
        resolved.remark_number,
        resolved.figure_order,
        resolved.figure,
        case resolved.column_name
            {%- for column in read_figures | map(attribute=4) | unique %}
            when '{{ column }}' then coefficients.{{ column }}
            {%- endfor %}
        end as value,
        resolved.specification_id,
        coefficients.reason
    from resolved
    left join coefficients
        on
            resolved.specification_id = coefficients.specification_id
            and (resolved.term = coefficients.term or coefficients.status = 'not_estimable')
),

identity as (
    select
        extract_set,
        1 as remark_number,
        100 as figure_order,
        'difference between the two slopes' as figure,
        abs(max(case when figure_order = 1 then value end) - max(case when figure_order = 2 then value end)) as value,
        max(specification_id) as specification_id,
        max(reason) as reason
    from read_values
    where figure_order <= 2
    group by extract_set
),

placebo as (
    {%- for figure, column in [
        ('slope with own weights', 'estimate'),
        ('mean slope with permuted weights', 'placebo_mean'),
        ('2.5 % quantile with permuted weights', 'placebo_low'),
        ('97.5 % quantile with permuted weights', 'placebo_high'),
        ('p of the placebo', 'p_value'),
        ('draws', 'draws')
    ] %}
    select
        placebos.extract_set,
        2 as remark_number,
        {{ 100 + loop.index }} as figure_order,
        '{{ figure }}' as figure,
        cast(placebos.{{ column }} as double) as value,
        placebos.specification_id,
        placebos.reason
    from placebos
    inner join headline on placebos.specification_id = headline.specification_id
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

-- Doubles are rounded where a sum over cities would depend on its order.
growth as (
    select
        extract_set,
        city_id,
        max(ai_firms_weight) as weight,
        arg_max(ln_gdp, year) - arg_min(ln_gdp, year) as gdp_growth
    from panel
    where ln_gdp is not null
    group by extract_set, city_id
),

weight_and_growth as (
    select
        extract_set,
        3 as remark_number,
        120 as figure_order,
        'correlation of the weight of 2020 with GDP growth, over cities' as figure,
        round(corr(weight, gdp_growth), 10) as value,
        cast(null as varchar) as specification_id,
        cast(null as varchar) as reason
    from growth
    group by extract_set
),

treatment_and_size as (
    select
        treated.extract_set,
        9 as remark_number,
        121 as figure_order,
        'correlation of the treatment with log GDP of 2015, over cities' as figure,
        round(corr(case when treated.is_reference then 0 else 1 end, panel.ln_gdp), 10) as value,
        cast(null as varchar) as specification_id,
        cast(null as varchar) as reason
    from groups as treated
    inner join panel
        on
            treated.city_id = panel.city_id
            and panel.year = 2015
    where treated.grouping = 'secondary_dominant'
    group by treated.extract_set
),

misses as (
    {%- for figure, expression in [
        ('printed coefficients', 'count(estimated_value)'),
        ('inside the 95 % interval of their estimate', 'count(case when is_reproduced then 1 end)'),
        ('outside, explained by another remark', 'count(case when explaining_remark_number <> 11 then 1 end)'),
        ('outside by chance', 'count(case when explaining_remark_number = 11 then 1 end)'),
        ('outside and not explained', 'count(case when not is_reproduced and explaining_remark_number is null then 1 end)'),
        ('outside by chance, expected', "0.05 * count(case when status = 'estimated' then 1 end)")
    ] %}
    select
        extract_set,
        11 as remark_number,
        {{ 130 + loop.index }} as figure_order,
        '{{ figure }}' as figure,
        cast({{ expression }} as double) as value,
        cast(null as varchar) as specification_id,
        cast(null as varchar) as reason
    from scorecard
    where item_kind = 'coefficient'
    group by extract_set
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

figures as (
    {%- for name in ['read_values', 'identity', 'placebo', 'weight_and_growth', 'treatment_and_size', 'misses'] %}
    select * from {{ name }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

final as (
    select
        figures.extract_set,
        figures.remark_number,
        remarks.remark,
        remarks.statement_en,
        remarks.statement_zh,
        row_number() over (partition by figures.remark_number order by figures.figure_order) as figure_number,
        figures.figure,
        figures.value,
        figures.specification_id,
        figures.reason
    from figures
    inner join remarks on figures.remark_number = remarks.remark_number
)

select * from final
