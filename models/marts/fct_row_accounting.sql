with

deliveries as (
    select * from {{ ref('raw_deliveries') }}
),

rejected as (
    select
        file_path,
        reason as disposition
    from {{ ref('raw_rejected_rows') }}
),

{%- for entity in var('providers') %}

{{ entity }} as (
    select
        file_path,
        coalesce(set_aside_reason, 'used') as disposition
    from {{ ref('int_' ~ entity ~ '_conformed') }}
),
{%- endfor %}

records as (
    select * from rejected
    {%- for entity in var('providers') %}
    union all
    select * from {{ entity }}
    {%- endfor %}
),

final as (
    select
        deliveries.extract_set,
        deliveries.provider,
        deliveries.source_name,
        deliveries.entity,
        deliveries.file_path,
        records.disposition,
        count(*) as row_count
    from deliveries
    inner join records on deliveries.file_path = records.file_path
    group by
        deliveries.extract_set, deliveries.provider, deliveries.source_name, deliveries.entity,
        deliveries.file_path, records.disposition
)

select * from final
