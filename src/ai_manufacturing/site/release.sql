-- name: sources
select
    provider,
    provenance_class,
    publisher,
    republished_by,
    licence,
    citation_en,
    citation_zh,
    may_be_passed_on,
    count(distinct file_path) as file_count,
    string_agg(distinct source_link, ' ' order by source_link) as links
from marts.fct_deliveries
where provider is not null
group by all
order by provider, citation_en;
