-- name: counts
select
    d.measure,
    d.year,
    d.city_id,
    d.measure_count,
    round(10000.0 * d.measure_count / nullif(f.value, 0), 4) as per_10k_firms,
    round(m.measure_count, 4) as m_ai,
    d.national_rank
from marts.fct_spatial_distribution as d
left join marts.fct_city_year_values as f
    on f.variable = 'firm_count' and d.city_id = f.city_id and d.year = f.year
left join marts.fct_ai_measure as m
    on
        d.measure = m.measure
        and d.city_id = m.city_id
        and d.year = m.year
        and m.scope = 'industry'
        and m.weighting = 'fixed_ratio'
where d.measure_count is not null
order by d.measure asc, d.year asc, d.measure_count desc, d.city_id asc;

-- name: clusters
select
    measure,
    year,
    city_id,
    round(statistic, 4) as local_morans_i,
    p_value,
    quadrant,
    case when p_value < 0.05 then quadrant else 'NS' end as cluster
from estimates.est_local_spatial_autocorrelation
where status = 'estimated' and p_value is not null
order by measure, year, city_id;

-- name: cities
select
    city_id,
    name_en,
    name_zh,
    province_name_en,
    province_name_zh,
    longitude,
    latitude
from marts.dim_city
order by city_id;

-- name: missing
select
    measure,
    case when city_count > 0 then reason end as reason,
    case when city_count > 0 then reason_zh end as reason_zh,
    min(year) as first_year,
    max(year) as last_year
from estimates.est_spatial_autocorrelation
where status = 'not_estimable'
group by all
order by all;
