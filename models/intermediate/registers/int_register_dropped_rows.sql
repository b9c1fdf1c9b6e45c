{%- set best_first = 'over (partition by entity, record_id order by delivery_number desc, '
    ~ 'case when set_aside_reason is null then 0 else 1 end, row_number)' %}
{%- set cell = ['city_code', 'section', 'kind', 'start_year', 'end_year'] %}

with

files as (
    select * from {{ ref('raw_register_files') }}
),

-- The number of a delivery instead of its key of 64 letters: these rows are sorted.
numbered as (
    select
        files.delivery_number,
        doubtful.entity,
        doubtful.row_number,
        doubtful.record_id,
        {%- for column in cell %}
        doubtful.{{ column }},
        {%- endfor %}
        doubtful.set_aside_reason
    from {{ ref('int_register_doubtful_rows') }} as doubtful
    inner join files on doubtful.store_key = files.store_key
    where doubtful.row_number is not null
),

-- The latest delivery that has an id decides; of its rows the first usable one stays.
ranked as (
    select
        *,
        first_value(delivery_number) {{ best_first }} as latest_delivery_number,
        {%- for column in cell %}
        first_value({{ column }}) {{ best_first }} as first_{{ column }},
        {%- endfor %}
        row_number() {{ best_first }} as place
    from numbered
),

final as (
    select
        ranked.entity,
        files.store_key,
        ranked.row_number,
        ranked.record_id,
        {%- for column in cell %}
        ranked.{{ column }},
        {%- endfor %}
        ranked.set_aside_reason as other_reason,
        case
            when ranked.record_id is null then 'no id'
            when ranked.delivery_number < ranked.latest_delivery_number then 'superseded'
            when
                {%- for column in cell %}
                {{ 'or ' if not loop.first }}(ranked.{{ column }} is distinct from ranked.first_{{ column }})
                {%- endfor %}
                then 'contradicting id'
            else 'duplicate id'
        end as set_aside_reason
    from ranked
    inner join files on ranked.delivery_number = files.delivery_number
    where
        ranked.record_id is null
        or ranked.delivery_number < ranked.latest_delivery_number
        or (ranked.place > 1 and ranked.set_aside_reason is null)
)

select * from final
