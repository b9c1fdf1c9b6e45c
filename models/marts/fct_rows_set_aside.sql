with

{%- for entity in var('providers') %}

{{ entity }} as (
    select
        current_extract_set() as extract_set,
        provider,
        source_name,
        origin.delivery_number,
        origin.file_path,
        origin.sheet_name,
        origin.row_number,
        city_code,
        city_name,
        cast(year as integer) as year,
        set_aside_reason
    from {{ ref('int_' ~ entity ~ '_conformed') }}
    where set_aside_reason is not null
),
{%- endfor %}

final as (
    {%- for entity in var('providers') %}
    select * from {{ entity }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
)

select * from final
