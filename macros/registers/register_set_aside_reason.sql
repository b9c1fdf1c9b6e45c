{# Return the reason why a row or cell of a register is set aside, from the columns of int_register_conformed. #}
{% macro register_set_aside_reason() -%}
    case
            when start_year = 0 or end_year = 0 then 'unreadable date'
            when start_year is null then 'no date'
            when start_year > {{ period('last_year') }} then 'after the period'
            when end_year = {{ period('first_year') - 2 }}
                then case when entity = 'firm_register' then 'exit before entry' else 'grant before application' end
            when kind is null and entity = 'patent_register' then 'unknown patent type'
            -- Design patents have no IPC class, so they have no industry.
            when section is null and coalesce(kind, '') <> 'design' then 'unknown industry'
        end
{%- endmacro %}
