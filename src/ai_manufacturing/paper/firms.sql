-- name: growth
with national as (
    select
        c.year,
        c.national_count as ai_firms,
        cast(round(c.national_count / nullif(t.national_share, 0)) as bigint) as firms
    from marts.fct_spatial_concentration as c
    inner join reports.rpt_fixed_ratio_test as t on c.measure = t.measure and c.year = t.year
    where c.measure = 'ai_firms' and t.national_share > 0
),

counts as (unpivot national on ai_firms, firms into name series value count)

select
    year,
    series,
    count,
    round(100.0 * count / first_value(count) over of_series, 1) as index
from counts window of_series as (partition by series order by year)
order by series, year;

-- name: registers
with covered as (
    select distinct
        provider,
        source_name,
        covers
    from marts.fct_register_placement
    where entity = 'firm_register'
),

accounted as (
    select
        provider,
        source_name,
        cast(sum(row_count) as bigint) as row_count
    from marts.fct_row_accounting
    group by provider, source_name
),

placed as (
    select
        provider,
        source_name,
        cast(sum(firm_count) as bigint) as placed_count
    from reports.rpt_scope_vintage
    group by provider, source_name
)

select
    provider,
    source_name,
    covers,
    row_count,
    coalesce(placed_count, 0) as placed_count
from covered
inner join accounted using (provider, source_name)
left join placed using (provider, source_name)
order by provider, source_name;
