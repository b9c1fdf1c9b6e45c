{#
All rows of a register as landed. Parquet paths are literals in SQL, so the view lists the files that raw_register_files
had when it was made.
#}
{% macro register_rows(entity) -%}
    {{ return(adapter.dispatch('register_rows')(entity)) }}
{%- endmacro %}

{% macro register_file_rows(entity) -%}
    {%- set relation = load_relation(ref('raw_register_files')) if execute -%}
    {%- set query = "select * from " ~ relation ~ " where entity = '" ~ entity ~ "' order by file_number" -%}
    {{ return(run_query(query).rows if relation else []) }}
{%- endmacro %}

{% macro default__register_rows(entity) -%}
    {#- The declared columns come first, in a file without rows. #}
    {%- set files = register_file_rows(entity) -%}
    {%- set providers, paths = ["''"], [] -%}
    {%- if execute -%}
        {%- do paths.append(literal(run_query("select declared_register_path('" ~ entity ~ "')").rows[0][0])) -%}
        {%- for file in files -%}
            {%- do providers.append(literal(file['provider'])) -%}
            {%- set path = run_query("select landed_register_path('" ~ file['store_key'] ~ "')").rows[0][0] -%}
            {%- do paths.append(literal(path)) -%}
        {%- endfor -%}
    {%- endif -%}
    select
        list_extract([{{ providers | join(', ') }}], cast(file_index as bigint) + 1) as provider,
        cast(file_index as integer) + {{ files[0]['file_number'] - 1 if files else 0 }} as file_number,
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
