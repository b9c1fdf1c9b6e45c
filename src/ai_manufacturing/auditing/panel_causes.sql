-- name: ours
select
    v.city_id,
    v.year,
    v.value,
    d.series,
    d.quantity,
    d.unit,
    d.provider,
    d.series as source,
    d.label_en,
    d.label_zh
from marts.fct_city_year_values as v
inner join marts.dim_variable as n using (variable)
inner join marts.dim_series as d on n.series = d.series and n.scope = d.scope
where n.transform = 'level' and n.measure is null and v.value is not null;
