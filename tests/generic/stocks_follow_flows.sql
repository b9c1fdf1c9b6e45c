{% test stocks_follow_flows(model, counts) %}
-- Return city-years whose stock differs from the previous year's stock plus entries minus exits.
with

counted as (
    select * from {{ model }}
),

final as (
    select later.*
    from counted as later
    inner join counted as earlier
        on
            later.city_id = earlier.city_id
            and later.scope = earlier.scope
            and later.year = earlier.year + 1
    where
        {%- for unit in counts %}
        {% if not loop.first %}or {% endif %}later.{{ unit }}_count
        <> earlier.{{ unit }}_count + later.{{ unit }}_entry_count - later.{{ unit }}_exit_count
        {%- endfor %}
)

select * from final
{% endtest %}
