{#
Write all comments of a table or seed in one statement, because dbt's own macro reads the columns of each relation
twice. Like dbt, skip documented columns that do not exist: the columns of a model may depend on its providers. The
comment of an empty table ends with `meta.why_empty` of its model.
#}
{% macro duckdb__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- set comments = [] -%}
    {%- if for_relation and config.persist_relation_docs() and model.description -%}
        {%- set why_empty = model.config.meta.get('why_empty') -%}
        {%- set is_empty = why_empty and not invocation_args_dict.empty
            and not column_of('select 1 from ' ~ relation ~ ' limit 1') -%}
        {%- set description = model.description.rstrip() ~ '\n\nEmpty here: ' ~ why_empty if is_empty else model.description -%}
        {%- do comments.append(alter_relation_comment(relation, description)) -%}
    {%- endif -%}
    {%- if for_columns and config.persist_column_docs() -%}
        {%- set existing = column_of('describe ' ~ relation) -%}
        {%- for column in model.columns.values() if column.name in existing -%}
            {%- do comments.append(
                'comment on column ' ~ relation ~ '.' ~ adapter.quote(column.name) ~ ' is '
                ~ duckdb_escape_comment(column.description) ~ ';'
            ) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if comments -%}
        {%- do run_query(comments | join('\n')) -%}
    {%- endif -%}
{%- endmacro %}
