{#
The incremental state of the registers, all of it. A table that is kept by file holds what was made of each register
file until the file leaves the extract set or a rule changes, so that a build reads the new files only. Each row has the
file, `store_key`, and the rules that it was made by, `rules`: a fingerprint of the period and of the text of every
model, seed and macro above the table, dbt's own macros apart. Before the table is built, `forget_files` drops the rows
of other files and other rules; the model then reads `new_files`, those that the table has no row of. So the table is
what a full build gives, its columns too. What is made of kept tables (int_register_cells and below) is built anew.

On DuckDB the rows are deleted and appended. On Spark a file is a partition (spark__kept_by_file).
#}
{% macro kept_by_file() -%}
    {{ adapter.dispatch('kept_by_file')() }}
{%- endmacro %}

{% macro default__kept_by_file() -%}
    {{ config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='sync_all_columns',
        pre_hook='{{ forget_files() }}'
    ) }}
{%- endmacro %}

{% macro rules_key() -%}
    {%- set years = period('first_year') ~ ' ' ~ period('last_year') -%}
    {%- if execute -%}
        {%- set upstream = [model.unique_id] -%}
        {%- set macros = [] -%}
        {%- set parts = [years] -%}
        {%- for node in upstream -%}
            {%- do macros.extend(graph.nodes[node].depends_on.macros) -%}
            {%- do upstream.extend(graph.nodes[node].depends_on.get('nodes', []) | select('in', graph.nodes) | reject('in', upstream)) -%}
            {%- do parts.append(node ~ graph.nodes[node].checksum.checksum) -%}
        {%- endfor -%}
        {%- set seen = {} -%}
        {%- for name in macros if name.startswith('macro.' ~ project_name ~ '.') and name not in seen -%}
            {%- set text = context[name.split('.')[-1]].macro -%}
            {%- do seen.update({name: text.macro_sql}) -%}
            {%- do macros.extend(text.depends_on.macros) -%}
        {%- endfor -%}
        {{- local_md5((parts | sort ~ seen | dictsort) | string) -}}
    {%- endif -%}
{%- endmacro %}

{% macro forget_files() -%}
    {{ adapter.dispatch('forget_files')() }}
{%- endmacro %}

{% macro default__forget_files() -%}
    {%- if is_incremental() -%}
        delete from {{ this }}
        where
            rules <> '{{ rules_key() }}'
            or store_key not in (select files.store_key from {{ ref('raw_register_files') }} as files)
    {%- endif -%}
{%- endmacro %}

{# As literals, by which whole Parquet files are skipped. #}
{% macro new_files() -%}
    {%- set keys = ["''"] -%}
    {%- if execute -%}
        {%- set query -%}
            select store_key from {{ ref('raw_register_files') }}
            except select store_key from {{ this }} where rules = '{{ rules_key() }}'
        {%- endset -%}
        {%- for key in column_of(query) -%}{%- do keys.append(literal(key)) -%}{%- endfor -%}
    {%- endif -%}
    ({{ keys | join(', ') }})
{%- endmacro %}
