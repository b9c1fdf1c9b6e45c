-- name: shares
select
    measure,
    year,
    top_1_share,
    top_5_share,
    top_10_share,
    east_share,
    gini
from marts.fct_spatial_concentration
order by all;

-- name: moran
select
    measure,
    year,
    statistic as morans_i,
    expected,
    p_value,
    city_count
from estimates.est_spatial_autocorrelation
where status <> 'not_estimable'
order by measure, year;

-- name: local
select
    l.measure,
    l.year,
    l.quadrant,
    count(*) as city_count,
    string_agg(c.name_en, ', ' order by l.statistic desc, c.city_id asc) as names_en,
    string_agg(c.name_zh, '、' order by l.statistic desc, c.city_id asc) as names_zh,
    any_value(l.substitutions) as substitutions
from estimates.est_local_spatial_autocorrelation as l
inner join marts.dim_city as c on l.city_id = c.city_id
where
    l.p_value < 0.05 and l.year = (
        select max(year) from estimates.est_local_spatial_autocorrelation
        where status <> 'not_estimable'
    )
group by l.measure, l.year, l.quadrant
order by l.measure, l.quadrant;
