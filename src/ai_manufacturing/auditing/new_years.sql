-- name: odd
with

published as (
    select
        series,
        scope,
        min(year) as first_year,
        max(year) as last_year
    from old.release.series_values
    group by series, scope
),

judged as (
    select
        years.* exclude (year),
        cast(years.year as integer) as year,
        split_part(years.series, '@', 1) as quantity
    from built.intermediate.int_series_years as years
    inner join published
        on years.series = published.series and years.scope = published.scope
    where
        years.gaining_cities is not null
        and years.year not between published.first_year and published.last_year
)

select
    judged.series,
    judged.scope,
    judged.year,
    judged.provider,
    judged.quantity,
    (
        select coalesce(list(distinct used.specification_id order by used.specification_id), [])
        from built.marts.dim_specification_series as used
        where used.series = judged.series and used.scope = judged.scope
    ),
    declared_by(judged.provider, judged.quantity, judged.scope, judged.year),
    concat(
        coalesce(labels.label_en, judged.series), ' (',
        concat_ws(', ', judged.series, judged.scope, judged.provider), ') ', judged.year,
        format(
            ': {:.1f} % of the total moved between cities, compared with at most {:.1f} % in earlier years',
            100 * judged.moved_share, 100 * judged.earlier_moved_share
        ),
        format(
            '; in the median province the capital''s share changed by {:+.3f}, compared with'
            || ' at most {:.3f} in earlier years',
            judged.capital_shift, judged.earlier_capital_shift
        ),
        '. Largest gains: ',
        (
            select
                string_agg(
                    concat(if($language = 'zh', cities.name_zh, cities.name_en), ' (', cities.city_id, ')'), ', '
                    order by strpos(judged.gaining_cities, cities.city_id)
                )
            from built.marts.dim_city as cities
            where contains(judged.gaining_cities, cities.city_id)
        )
    )
from judged
left join built.marts.dim_series as labels
    on judged.series = labels.series and judged.scope = labels.scope
order by judged.series, judged.scope, judged.year;
