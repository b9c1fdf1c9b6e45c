{#
Encode the location of a register record in one text: `rule=value` for each rule of [registers.place] that has a value,
in the declared order, as in credit_code=530102/name=云南|昆明. Rows are grouped by this single column, and
int_register_places parses each distinct value once.
#}
{% macro place_of(place) -%}
    concat_ws(
            '/'
            {%- for rule, column in place.items() if rule != 'province' %}
            {%- set quoted = adapter.quote(column) %},
            {%- if rule == 'credit_code' %}
            case when {{ is_a_credit_code(quoted) }} then concat('credit_code=', substring({{ quoted }}, 3, 6)) end
            {%- elif rule == 'code' %}
            case when {{ has_value(quoted) }} then concat('code=', translate({{ quoted }}, '/|=', '')) end
            {%- else %}
            {%- set province = adapter.quote(place['province']) %}
            case
                when {{ has_value(quoted) }} and {{ has_value(province) }}
                    then concat('name=', translate({{ province }}, '/|=', ''), '|', translate({{ quoted }}, '/|=', ''))
            end
            {%- endif %}
            {%- endfor %}
        )
{%- endmacro %}

{% macro has_value(value) -%}
upper(trim({{ value }})) not in ('', 'N/A', 'NA', '-', '--')
{%- endmacro %}

{#
Test whether a text is a unified social credit code of GB 32100-2015: 18 characters from a set of 31, the last one a
check character. Characters 3 to 8 are the code of the county or city whose office registered the firm.
#}
{% macro is_a_credit_code(value) -%}
    {%- set characters = '0123456789ABCDEFGHJKLMNPQRTUWXY' -%}
    case
                    when {{ matches(value, '^[0-9A-HJ-NPQRTUWXY]{18}$') }} then (
                        {%- set weight = namespace(of=1) %}
                        {%- for position in range(1, 18) %}
                        {{ weight.of }} * (instr('{{ characters }}', substring({{ value }}, {{ position }}, 1)) - 1) +
                        {%- set weight.of = weight.of * 3 % 31 %}
                        {%- endfor %}
                        instr('{{ characters }}', substring({{ value }}, 18, 1)) - 1
                    ) % 31 = 0
                    else false
                end
{%- endmacro %}
