{#
All rows of a register as landed. Parquet paths are literals in SQL, so the view lists the files that raw_register_files
had when it was made.
#}
{% macro register_rows(entity) -%}
    {{ return(adapter.dispatch('register_rows')(entity)) }}
{%- endmacro %}

{% macro default__register_rows(entity) -%}
    {#- The declared columns come first, in a file without rows. #}
    {%- set relation = load_relation(ref('raw_register_files')) if execute -%}
    {%- set query -%}
        select 0 as file_number, '' as provider, declared_register_path('{{ entity }}') as path
        {%- if relation %}
        union all
        select file_number, provider, landed_register_path(store_key) from {{ relation }} where entity = '{{ entity }}'
        {%- endif %}
        order by file_number
    {%- endset -%}
    {%- set files = run_query(query).rows if execute else [] -%}
    {%- set providers, paths = [], [] -%}
    {%- for file in files -%}
        {%- do providers.append(literal(file['provider'])) -%}
        {%- do paths.append(literal(file['path'])) -%}
    {%- endfor -%}
    select
        list_extract([{{ providers | join(', ') }}], cast(file_index as bigint) + 1) as provider,
        cast(file_index as integer) + {{ files[1]['file_number'] - 1 if files | length > 1 else 0 }} as file_number,
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
