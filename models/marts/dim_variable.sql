-- Rendered, so that a run with --empty has the variables too: what reads them names them.
with

series as (
    select * from {{ ref('series').render() }}
),

derived_variables as (
    select * from {{ ref('derived_variables').render() }}
),

totals as (
    select distinct series
    from {{ ref('int_series_sources') }}
    where scope = 'total'
),

named as (
    select
        series as variable,
        series,
        'level' as transform,
        null as measure,
        label_en,
        label_zh
    from series
    union all
    select
        log_variable as variable,
        series,
        'ln' as transform,
        null as measure,
        -- An abbreviation keeps its capitals.
        case
            when regexp_matches(label_en, '^[A-Z][a-z]') then 'Log ' || lower(label_en[1]) || label_en[2:]
            else 'Log ' || label_en
        end as label_en,
        label_zh || '(对数)' as label_zh
    from series
    where log_variable is not null
    union all
    select
        variable,
        series,
        'ln' as transform,
        measure,
        label_en,
        label_zh
    from derived_variables
),

final as (
    select
        named.variable,
        named.series,
        case when totals.series is null then 'industry' else 'total' end as scope,
        named.transform,
        named.measure,
        named.label_en,
        named.label_zh
    from named
    left join totals on split_part(named.series, ' ', 1) = totals.series
)

select * from final
