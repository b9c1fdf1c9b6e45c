-- name: restricted
select
    provider,
    string_agg(distinct licence, '; ' order by licence) as licence,
    string_agg(
        distinct coalesce(republished_by, publisher), '; ' order by coalesce(republished_by, publisher)
    ) as whence,
    string_agg(distinct citation_en, '; ' order by citation_en) as citation_en,
    string_agg(distinct citation_zh, '; ' order by citation_zh) as citation_zh
from marts.fct_deliveries
where
    provider is not null
    and not may_be_passed_on
group by provider
order by provider;

-- name: sources
select distinct
    provider,
    provenance_class,
    publisher,
    republished_by,
    licence,
    source_link as address,
    may_be_passed_on
from marts.fct_deliveries
where provider is not null
order by all;

-- name: tables
select table_schema || '.' || table_name
from information_schema.tables
where
    table_catalog = 'built'
    and list_contains($schemas, table_schema)
order by all;

-- name: restricted_providers
create temp table restricted_providers as
select unnest($providers::varchar[]) as provider;

-- name: counted_providers
insert into restricted_providers
select distinct provider
from built.marts.dim_series
where
    provider not in (
        select provider from built.marts.fct_deliveries
        where provider is not null
    );

-- name: restricted_series
create temp table restricted_series as
select distinct series
from built.marts.dim_series
where provider in (from restricted_providers);

-- name: more_restricted_series
insert into restricted_series
select distinct series
from built.release.series_values
where provider in (from restricted_providers);

-- name: restricted_variables
create temp table restricted_variables as
select distinct variable
from (
    select
        variable,
        unnest(string_split(series, ' ')) as series
    from built.marts.dim_variable
) as used
where series in (from restricted_series);

-- name: kept_columns
select
    concat(table_schema, '.', table_name) as name,
    list(column_name) as kept
from built.marts.data_dictionary
where is_kept
group by all;

-- name: open_variables
create temp table open_variables as
select variable
from built.marts.dim_variable
where variable not in (from restricted_variables);

-- name: described_columns
delete from new.marts.data_dictionary as d
where
    concat(d.table_schema, '.', d.table_name) = $panel
    and d.column_name not in (
        select column_name from duckdb_columns()
        where
            database_name = 'new'
            and concat(schema_name, '.', table_name) = $panel
    );

-- name: withheld_columns
update new.marts.data_dictionary as d
set source = concat_ws('; ', source, 'withheld here')
from new.release.withheld as w
where
    concat(d.table_schema, '.', d.table_name) = w.table_name
    and coalesce(w.column_name, d.column_name) = d.column_name;
