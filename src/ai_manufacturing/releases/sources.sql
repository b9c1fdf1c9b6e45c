-- name: delivered
select
    provider,
    source_name,
    provenance_class,
    publisher,
    republished_by,
    licence,
    source_link as link,
    cast(looked_up_on as varchar) as looked_up_on,
    count(distinct file_path) as file_count
from marts.fct_deliveries
where provider is not null and outcome not in ('superseded', 'withdrawn')
group by all
order by all;
