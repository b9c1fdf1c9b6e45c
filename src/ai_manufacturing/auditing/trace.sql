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

-- name: corrections
select distinct
    s.correction_id,
    c.action,
    c.reason
from intermediate.int_series_corrected as s
inner join seeds.corrections as c on s.correction_id = c.correction_id
where
    s.series = $series
    and s.provider = $provider
    and s.year = $year
    and s.city_id in (
        select $city_id
        union all
        select province_id from seeds.cities
        where city_id = $city_id
        union all
        select from_city_id from seeds.city_changes
        where
            kind = 'merger'
            and to_city_id = $city_id
    )
order by s.correction_id;

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
    and value_city_id = $city_id
    and (
        section is null
        or section in (
            select section from seeds.industry_scopes
            where scope = $scope
        )
    )
order by delivered_value desc, file_path asc, sheet_name asc, row_number asc;

-- name: counted_files
select distinct
    files.file_path || ', sha256 ' || files.delivery_id as file,
    files.entity in ('firm_register', 'patent_register') as has_tags
from raw.deliveries as files
inner join intermediate.int_series_corrected as counted
    on
        files.entity = counted.source_name
        or (files.provider = counted.provider and files.source_name = counted.source_name)
        or (files.entity = 'patent_register' and counted.source_name = 'industry_concordance')
where
    files.valid_until_delivery is null
    and files.copy_of_delivery is null
    and counted.series = $series
    and counted.provider = $provider
    and not exists (
        from marts.fct_delivered_values
        where
            series = $series
            and provider = $provider
    )
order by file;
