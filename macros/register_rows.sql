{#
The register files of an entity that are in force, numbered.
One text for the model int_register_files and for the compile-time list of Parquet files, so that the numbers agree.
#}
{% macro register_files(entity, deliveries) -%}
select
    entity,
    cast(row_number() over (order by provider, file_path) as integer) as file_number,
    extract_set,
    provider,
    source_name,
    delivery_number,
    file_path,
    store_key
from {{ deliveries }}
where
    entity = '{{ entity }}'
    and valid_until_delivery is null
    and copy_of_delivery is null
{%- endmacro %}

{# All rows of a register as landed, straight from the Parquet files of the landing store. #}
{% macro register_rows(entity) -%}
    {{ return(adapter.dispatch('register_rows')(entity)) }}
{%- endmacro %}

{% macro default__register_rows(entity) -%}
    {%- set providers, paths, extract_set = ["''"], [], [] -%}
    {%- if execute -%}
        {%- set known = run_query("select declared_register_path('" ~ entity ~ "'), current_extract_set()").rows[0] -%}
        {%- do paths.append(literal(known[0])) -%}
        {%- do extract_set.append(literal(known[1])) -%}
        {%- set deliveries = adapter.get_relation(target.database, 'raw', 'deliveries') -%}
        {%- if deliveries -%}
            {%- set files = 'select * from (' ~ register_files(entity, deliveries) ~ ') order by file_number' -%}
            {%- for row in run_query('select provider, landed_register_path(store_key) from (' ~ files ~ ')').rows -%}
                {%- do providers.append(literal(row[0])) -%}
                {%- do paths.append(literal(row[1])) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endif -%}
    {#- The declared columns come first, as file 0 without rows. #}
    select
        {{ extract_set | join }} as extract_set,
        list_extract([{{ providers | join(', ') }}], cast(file_index as bigint) + 1) as provider,
        cast(file_index as integer) as file_number,
        split_part(filename, '/', -2) as store_key,
        file_row_number + 1 as row_number,
        *
    from read_parquet([{{ paths | join(', ') }}], union_by_name = true)
{%- endmacro %}

{% macro literal(value) -%}
    {{ return(adapter.dispatch('literal')(value)) }}
{%- endmacro %}

{% macro default__literal(value) -%}
'{{ value | replace("'", "''") }}'
{%- endmacro %}
