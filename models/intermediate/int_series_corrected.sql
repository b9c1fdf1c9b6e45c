with

delivered as (
    select * from {{ ref('int_series_delivered') }}
),

corrections as (
    select * from {{ ref('corrections') }}
    -- These two actions concern whole records and are applied in int_records_conformed.
    where action not in ('keep_record', 'set_records_aside')
),

matched as (
    select
        delivered.*,
        corrections.correction_id,
        corrections.action,
        corrections.value as correction_value
    from delivered
    left join corrections
        on
            delivered.provider = corrections.provider
            and corrections.city_id in (delivered.city_id, '*')
            and corrections.year in (cast(delivered.year as varchar), '*')
            and corrections.source_name in (delivered.source_name, '*')
            and corrections.series in (delivered.series, '*')
),

final as (
    select
        provider,
        source_name,
        case action
            when 'reassign_city' then cast(cast(correction_value as integer) as varchar)
            else city_id
        end as city_id,
        year,
        series,
        scope,
        value as delivered_value,
        case action
            when 'set_missing' then null
            when 'replace' then correction_value
            when 'multiply' then value * correction_value
            else value
        end as value,
        city_id as delivered_city_id,
        correction_id
    from matched
)

select * from final
