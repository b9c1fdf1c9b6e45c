with

{%- for entity in var('providers') %}

{{ entity }} as (
    select
        provider,
        source_name,
        origin.delivery_number,
        origin.file_path,
        origin.sheet_name,
        origin.row_number,
        city_code,
        city_name,
        cast(year as integer) as year,
        set_aside_reason,
        correction_id
    from {{ ref('int_' ~ entity ~ '_conformed') }}
    where set_aside_reason is not null
),
{%- endfor %}

corrections as (
    select * from {{ ref('corrections') }}
),

records as (
    {%- for entity in var('providers') %}
    select * from {{ entity }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

final as (
    select
        current_extract_set() as extract_set,
        records.*,
        corrections.reason as correction_reason,
        corrections.reason_zh as correction_reason_zh
    from records
    left join corrections on records.correction_id = corrections.correction_id
)

select * from final
