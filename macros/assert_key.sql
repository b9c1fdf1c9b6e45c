{#
Post-hook: raise if two rows of a SQL model share the key that `meta.key` of its property file declares. Nulls count as
equal. The hook runs in the model's transaction, so that a repeated key preserves the previous table and skips the
models downstream, like a constraint but without an index. dbt-duckdb commits Python models at once, so these check
their keys in contracts.build_table instead.
#}
{% macro assert_key() -%}
    {%- set key = (model.config.meta.key or []) | join(', ') if execute and model.language == 'sql' -%}
    {%- set keys = 'select ' ~ key ~ ', count(*) as row_count from ' ~ this ~ ' group by ' ~ key -%}
    {%- set repeated = run_query(keys ~ ' having count(*) > 1 order by ' ~ key ~ ' limit 1').rows if key else [] -%}
    {%- for row in repeated -%}
        {{ exceptions.raise_compiler_error(this ~ ' has more than one row with the same key: ' ~ row_in_words(row)) }}
    {%- endfor -%}
{%- endmacro %}
