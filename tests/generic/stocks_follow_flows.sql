{% test stocks_follow_flows(model, stock, entries, exits) %}
-- The stock of a year is that of the year before, plus entries, less exits.
select later.*
from {{ model }} as later
inner join {{ model }} as earlier
    on
        later.city_id = earlier.city_id
        and later.scope = earlier.scope
        and later.year = earlier.year + 1
where later.{{ stock }} <> earlier.{{ stock }} + later.{{ entries }} - later.{{ exits }}
{% endtest %}
