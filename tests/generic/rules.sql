{#
What holds of a seed or a view, in one test: columns that together are unique (where one has a value), columns that are
never missing, and conditions, as in a check constraint: a null breaks none. A row names the rule and the record that
breaks it.
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
