with

measures as (
    select * from {{ ref('fct_ai_measure') }}
    where
        scope = 'industry'
        and measure in ('ai_firms', 'ai_patent_applications', 'ai_patent_grants')
),

coefficients as (
    select * from {{ ref('rpt_coefficients') }}
    where
        table_id = 'table_1'
        and term = regressor
),

of_paper as (
    select
        outcome,
        first_year,
        last_year
    from {{ ref('regression_specifications') }}
    where
        table_id = 'table_1'
        and reading = 'default'
),

specifications as (
    select * from {{ ref('regression_specifications') }}
    where
        table_id = 'table_1'
        and covariance = 'city'
        and transform = 'ln1p'
        and scope = 'industry'
        and estimator = 'fixed_effects'
        and fixed_effects = 'city year'
        and (outcome, first_year, last_year) in (
            select (paper.outcome, paper.first_year, paper.last_year) from of_paper as paper
        )
        and grouping is null
        and subsample is null
        and providers is null
        and coalesce(options, '') not like '%complete=%'
),

-- Observed AI share by city and year. The paper's fixed ratio assumes that this share is constant over time.
shares as (
    select
        observed.measure,
        observed.city_id,
        observed.year,
        observed.measure_count as ai_count,
        fixed.scaling_value as all_count,
        observed.measure_count / nullif(fixed.scaling_value, 0) as ai_share,
        fixed.weight as base_year_share
    from measures as observed
    inner join measures as fixed using (measure, city_id, year)
    where
        observed.weighting = 'observed'
        and fixed.weighting = 'fixed_ratio'
        and observed.measure_count is not null
        and fixed.scaling_value is not null
        and fixed.weight is not null
),

ranked as (
    select
        *,
        rank() over (partition by measure, year order by ai_share)
        + (count(*) over (partition by measure, year, ai_share) - 1) / 2 as share_rank,
        rank() over (partition by measure, year order by base_year_share)
        + (count(*) over (partition by measure, year, base_year_share) - 1) / 2 as base_year_share_rank
    from shares
    where ai_share is not null
),

years as (
    select
        measure,
        year,
        count(*) as city_count,
        sum(ai_count) / sum(all_count) as national_share,
        median(ai_share) as median_city_share,
        -- Spearman's rank correlation. Tied cities have their mean rank, a multiple of one half, so the sums are exact.
        corr(share_rank, base_year_share_rank order by city_id) as rank_correlation_with_base_year
    from ranked
    group by measure, year
),

slopes as (
    select
        coefficients.regressor as measure,
        specifications.controls,
        {%- for weighting in ['fixed_ratio', 'observed'] %}
        {%- for name, column in [
            ('estimate', 'estimate'), ('std_error', 'std_error_province'), ('observation_count', 'observation_count')
        ] %}
        max(case when specifications.weighting = '{{ weighting }}' then coefficients.{{ column }} end)
            as {{ weighting }}_{{ name }},
        {%- endfor %}
        {%- endfor %}
        max(case when specifications.weighting = 'fixed_ratio' then coefficients.specification_id end)
            as specification_id
    from coefficients
    inner join specifications using (specification_id)
    group by coefficients.regressor, specifications.controls
),

-- Slopes of the fixed-ratio measure and the observed measure under the same controls. The first set of controls with
-- both estimates is used.
compared as (
    select
        *,
        row_number() over (partition by measure order by specification_id) as preference
    from slopes
    where
        fixed_ratio_estimate is not null
        and observed_estimate is not null
),

final as (
    select
        {{ extract_set() }} as extract_set,
        years.*,
        years.national_share / nullif(base_years.national_share, 0) as national_share_relative_to_base_year,
        compared.* exclude (measure, controls, preference)  -- noqa: RF02
    from years
    left join years as base_years
        on
            years.measure = base_years.measure
            and base_years.year = {{ period('base_year') }}
    left join compared
        on
            years.measure = compared.measure
            and compared.preference = 1
)

select * from final
