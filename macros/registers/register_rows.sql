{#
All rows of a provider's register as landed, with the columns of all declarations. Parquet paths are literals in SQL, so
a view of it lists the files that raw_register_paths had when it was made.
#}
{% macro register_rows(provider, entity) -%}
    {{ return(adapter.dispatch('register_rows')(provider, entity)) }}
{%- endmacro %}

{% macro default__register_rows(provider, entity) -%}
    {#- The declared columns come first, in a file without rows. #}
    {%- set listed = ref('raw_register_paths') -%}
    {%- set relation = load_relation(listed) if execute -%}
    {%- set query -%}
        select file_number, rows_path from {{ relation }}
        where entity = '{{ entity }}' and (file_number = 0 or provider = {{ literal(provider) }})
        order by file_number
    {%- endset -%}
    {%- set files = run_query(query).rows if relation else [] -%}
    {%- set paths = [] -%}
    {%- for file in files -%}{%- do paths.append(literal(file['rows_path'])) -%}{%- endfor -%}
    select
        {#- Those of a provider follow each other. #}
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
