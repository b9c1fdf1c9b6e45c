{{ kept_by_year('patent_register') }}

with

cells as (
    select * from {{ ref('int_register_cells') }}
    where
        entity = 'patent_register'
        and kind = 'invention'
        and set_aside_reason is null
),

industry_scopes as (
    select * from {{ ref('industry_scopes') }}
),

cohorts as (
    select
        cells.city_id,
        industry_scopes.scope,
        cells.start_year,
        cells.end_year,
        sum(cells.row_count) as patent_count,
        sum(cells.ai_row_count) as ai_patent_count
    from cells
    inner join industry_scopes on cells.section = industry_scopes.section
    group by cells.city_id, industry_scopes.scope, cells.start_year, cells.end_year
),

years as (
    {{ year_spine() }}
),

counted as (
    select
        'register' as provider,
        'patent_register' as source_name,
        cohorts.city_id,
        years.year,
        cohorts.scope,
        {%- for name, counted, event in [
            ('invention_application_count', 'cohorts.patent_count', 'cohorts.start_year'),
            ('invention_grant_count', 'cohorts.patent_count', 'cohorts.end_year'),
            ('ai_invention_application_count', 'cohorts.ai_patent_count', 'cohorts.start_year'),
            ('ai_invention_grant_count', 'cohorts.ai_patent_count', 'cohorts.end_year')
        ] %}
        cast(sum(case when {{ event }} = years.year then {{ counted }} else 0 end) as bigint) as {{ name }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from cohorts
    cross join years
    group by cohorts.city_id, years.year, cohorts.scope
),

final as (
    {{ changed_years('counted') }}
)

select * from final
