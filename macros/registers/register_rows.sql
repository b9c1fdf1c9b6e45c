{#
Select all landed rows of a provider's register, with the columns of all declarations. Parquet paths are literals, so a
view on this query reads the files that raw_register_paths listed when the view was created.
#}
{% macro register_rows(provider, entity) -%}
    {{ return(adapter.dispatch('register_rows')(provider, entity)) }}
{%- endmacro %}

{% macro default__register_rows(provider, entity) -%}
    {#- File 0 has no rows; it comes first and defines the declared columns. #}
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
        {#- A provider's files are numbered consecutively, so file_index is shifted to the first of them. #}
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
