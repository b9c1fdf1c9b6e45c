{#
Configure an incremental model that caches its rows by register file, so that a build reads only new files. The rows of
a file remain until the file leaves the extract set or a rule changes. Each row has its file, `store_key`, and `rules`,
a fingerprint of the period and of the text of all models, seeds and macros upstream of the table, except dbt's own
macros. Before the build, `forget_files` deletes the rows of other files and other rules; the model then reads
`new_files`, the files without a row in the table. The result equals a full build, including the columns. These tables
are the only incremental state of the registers: int_register_cells and everything downstream is rebuilt.

On DuckDB, rows are deleted and appended. On Spark, each file is a partition (spark__kept_by_file).
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

{# List the store keys of files without rows in the table. As literals, they let the engine skip whole Parquet files. #}
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
