{#
Check all rules of a seed or view in one test. `unique` lists sets of columns that must be unique together (rows with
only nulls are ignored), `not_null` lists columns, and `conditions` lists SQL conditions, which a null satisfies as in a
check constraint. Each returned row names a rule and the record that breaks it.
#}
{% test rules(model, unique=[], not_null=[], conditions=[]) %}
{%- set rules, record = [], (unique + not_null)[0] %}
{%- for columns in unique %}
    {%- set has_value = 'count(' ~ columns.split(', ') | join(') + count(') ~ ') > 0' %}
    {%- do rules.append((columns ~ ' is unique', 'true group by ' ~ columns ~ ' having count(*) > 1 and ' ~ has_value, columns)) %}
{%- endfor %}
{%- for column in not_null %}
    {%- do rules.append((column ~ ' is not null', column ~ ' is null', record)) %}
{%- endfor %}
{%- for condition in conditions %}
    {%- do rules.append((condition, 'not (' ~ condition ~ ')', record)) %}
{%- endfor %}
{%- for rule, broken, columns in rules %}
select
    {{ dbt.string_literal(dbt.escape_single_quotes(rule)) }} as rule,
    concat_ws(', ', {{ columns }}) as record
from {{ model }}
where {{ broken }}
{%- if not loop.last %}
union all
{%- endif %}
{%- endfor %}
{% endtest %}
