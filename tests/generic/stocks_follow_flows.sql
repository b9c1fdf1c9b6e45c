{% test stocks_follow_flows(model, stock, entries, exits) %}
-- The stock of a year is that of the year before, plus entries, less exits.
with

counts as (
    select * from {{ model }}
),

final as (
    select later.*
    from counts as later
    inner join counts as earlier
        on
            later.city_id = earlier.city_id
            and later.scope = earlier.scope
            and later.year = earlier.year + 1
    where later.{{ stock }} <> earlier.{{ stock }} + later.{{ entries }} - later.{{ exits }}
)

select * from final
{% endtest %}
