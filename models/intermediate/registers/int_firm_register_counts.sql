{{ kept_by_year('firm_register') }}

with

cells as (
    select * from {{ ref('int_register_cells') }}
    where
        entity = 'firm_register'
        and set_aside_reason is null
),

files as (
    select
        store_key,
        provider,
        source_name,
        lacks_exit,
        is_sample,
        lacks_industry
    from {{ ref('raw_register_files') }}
),

-- Scopes that contain each industry section. Counts from a register without industries (section 'all') cover all
-- industries.
industry_scopes as (
    select
        scope,
        section
    from {{ ref('industry_scopes') }}
    union all
    select
        'all_industries' as scope,
        'all' as section
),

-- Cells with the provider of the resulting counts. An incomplete register keeps its own provider name, so that its
-- counts are not mistaken for counts of a complete register.
named as (
    select
        cells.*,
        case when files.lacks_exit or files.lacks_industry then files.provider else 'register' end as provider,
        case when files.lacks_exit or files.lacks_industry then files.source_name else 'firm_register' end
            as source_name,
        files.provider as register_provider,
        coalesce(files.lacks_exit, false) as lacks_exit,
        coalesce(files.is_sample, false) as is_sample
    from cells
    left join files on cells.store_key = files.store_key
),

cohorts as (
    select
        cells.provider,
        cells.source_name,
        cells.city_id,
        industry_scopes.scope,
        cells.start_year,
        cells.end_year,
        sum(cells.row_count) as firm_count,
        sum(cells.ai_row_count) as ai_firm_count
    from named as cells
    inner join industry_scopes on cells.section = industry_scopes.section
    where
        not cells.lacks_exit
        and not cells.is_sample
    group by cells.provider, cells.source_name, cells.city_id, industry_scopes.scope, cells.start_year, cells.end_year
),

years as (
    {{ year_spine() }}
),

-- Counts by city and year. A firm is alive at the end of a year if it entered by then and has not exited.
registered as (
    select
        cohorts.provider,
        cohorts.source_name,
        cohorts.city_id,
        years.year,
        cohorts.scope,
        {%- set alive = 'cohorts.start_year <= years.year and cohorts.end_year > years.year' %}
        {%- set entered, gone = 'cohorts.start_year = years.year', 'cohorts.end_year = years.year' %}
        {%- for name, counted, condition in [
            ('firm_count', 'firm_count', alive),
            ('firm_entry_count', 'firm_count', entered),
            ('firm_exit_count', 'firm_count', gone),
            ('ai_firm_count', 'ai_firm_count', alive),
            ('ai_firm_entry_count', 'ai_firm_count', entered),
            ('ai_firm_exit_count', 'ai_firm_count', gone)
        ] %}
        cast(sum(case when {{ condition }} then cohorts.{{ counted }} else 0 end) as bigint) as {{ name }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from cohorts
    cross join years
    group by cohorts.provider, cohorts.source_name, cohorts.city_id, years.year, cohorts.scope
),

covered as (
    select distinct
        provider,
        province_id,
        entry_year
    from {{ ref('int_register_coverage') }}
    where is_covered
),

-- Entries from registers without exit dates, which contain only surviving firms and therefore provide no stocks. Only
-- covered years and provinces are counted, and cities without entries are not filled with zeros.
survived as (
    select
        cells.provider,
        cells.source_name,
        cells.city_id,
        cast(cells.start_year as integer) as year,
        industry_scopes.scope,
        cast(null as bigint) as firm_count,
        cast(sum(cells.row_count) as bigint) as firm_entry_count,
        cast(null as bigint) as firm_exit_count,
        cast(null as bigint) as ai_firm_count,
        cast(sum(cells.ai_row_count) as bigint) as ai_firm_entry_count,
        cast(null as bigint) as ai_firm_exit_count
    from named as cells
    inner join industry_scopes on cells.section = industry_scopes.section
    inner join {{ ref('cities') }} as cities on cells.city_id = cities.city_id
    inner join covered
        on
            cells.register_provider = covered.provider
            and cities.province_id = covered.province_id
            and cells.start_year = covered.entry_year
    where
        cells.lacks_exit
        and cells.start_year between {{ period('first_year') }} and {{ period('last_year') }}
    group by cells.provider, cells.source_name, cells.city_id, cells.start_year, industry_scopes.scope
),

counted as (
    select * from registered
    union all
    select * from survived
),

-- All counts on DuckDB. On Spark, only the years whose counts have changed, because the other years are kept.
final as (
    {{ changed_years('counted') }}
)

select * from final
