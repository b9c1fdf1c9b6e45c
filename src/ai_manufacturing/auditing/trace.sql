-- name: other_specifications
with this as (
    from reports.rpt_specifications
    where specification_id = $specification_id
)

select
    other.specification_id,
    case
        when
            other.table_id = this.table_id
            and other.column_number = this.column_number
            and other.regressor = this.regressor
            then 0
        when other.table_id = this.table_id and other.outcome = this.outcome then 1
        when other.reading = 'default' and other.estimator = this.estimator then 2
    end as distance
from reports.rpt_specifications as other
cross join this
where other.status = 'estimated'
qualify distance = min(distance) over ()
order by other.specification_order;

-- name: samples_with_cell
select shown.specification_id
from reports.rpt_specifications as shown
inner join estimates.estimation_samples as sampled
    on shown.specification_id = sampled.specification_id
where
    shown.table_id = $table_id
    and sampled.city_id = $city_id
    and sampled.year = $year
order by shown.specification_order;

-- name: parts
select distinct
    coalesce(p.city_id, s.delivered_city_id) as city_id,
    s.correction_id,
    c.action,
    c.reason
from intermediate.int_series_corrected as s
left join seeds.corrections as c on s.correction_id = c.correction_id
left join seeds.city_changes as m
    on
        m.kind = 'merger'
        and s.city_id = m.from_city_id
        and s.year < m.first_year
left join seeds.cities as p
    on
        s.city_id = p.province_id
        and p.city_id = $city_id
        and (s.series, s.provider) in (
            select (series, provider)
            from intermediate.int_series_sources
            where boundaries = 'province'
        )
where
    $city_id in (s.city_id, m.to_city_id, p.city_id)
    and s.year = $year
    and s.series = $series
    and s.provider = $provider;

-- name: boundary_changes
select
    change_id,
    note
from seeds.city_changes
where
    $city_id in (from_city_id, to_city_id)
    and $year < first_year
    and exists (
        from intermediate.int_series_sources
        where
            series = $series
            and provider = $provider
            and boundaries = 'as_of_year'
    );

-- name: delivered_rows
select * from marts.fct_delivered_values
where
    series = $series
    and provider = $provider
    and year = $year
    and valid_until_delivery is null
    and list_contains($cities, city_id)
    and (
        section is null
        or section in (
            select section from seeds.industry_scopes
            where scope = $scope
        )
    )
order by delivered_value desc, file_path asc, sheet_name asc, row_number asc;

-- name: files
select file_path || ', sha256 ' || delivery_id as file
from raw.deliveries
where
    valid_until_delivery is null
    and copy_of_delivery is null
    and list_contains($entities, entity)
order by file_path;
