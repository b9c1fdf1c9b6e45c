{# Return whether a delivery was superseded by another one or withdrawn with its file; null while it is in force. #}
{% macro ended_as(valid_until_delivery) -%}
case
        when {{ valid_until_delivery }} in (
            select successors.delivery_number from {{ ref('raw_deliveries') }} as successors
        ) then 'superseded'
        when {{ valid_until_delivery }} is not null then 'withdrawn'
    end
{%- endmacro %}
