-- name: observations
pivot (
    select
        variable as series,
        year
    from marts.fct_city_year_values
    where value is not null and variable in (select series from marts.dim_series)
)
on year
using count(*)
group by series
order by series;

-- name: raw_files
select
    file_path,
    coalesce(provider, '') as provider,
    coalesce(record_count, 0) as records,
    coalesce(provenance_class, 'not declared') as provenance_class,
    coalesce(publisher, '') as publisher,
    coalesce(republished_by, '') as republished_by,
    coalesce(licence, '') as licence,
    coalesce(citation_en, '') as citation_en,
    coalesce(citation_zh, '') as citation_zh,
    coalesce(source_link, '') as address,
    coalesce(cast(accessed_on as varchar), '') as accessed,
    may_be_passed_on
from marts.fct_deliveries
order by delivery_number;
