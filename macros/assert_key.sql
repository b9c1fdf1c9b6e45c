{#
After a SQL model is made, in its transaction: no two rows have the key that its property file declares, `meta.key`;
nulls are alike. As with a constraint, a second row leaves the older table standing and skips what reads it. No index is
made. Python models assert theirs in contracts.table, because what they make is committed at once.
#}
{% macro assert_key() -%}
    {%- set key = (model.config.meta.key or []) | join(', ') if execute and model.language == 'sql' -%}
    {%- set keys = 'select ' ~ key ~ ', count(*) as row_count from ' ~ this ~ ' group by ' ~ key -%}
    {%- set repeated = run_query(keys ~ ' having count(*) > 1 order by ' ~ key ~ ' limit 1').rows if key else [] -%}
    {%- for row in repeated -%}
        {{ exceptions.raise_compiler_error(this ~ ' has several rows of one key: ' ~ row_in_words(row)) }}
    {%- endfor -%}
{%- endmacro %}
