with

deliveries as (
    select * from {{ ref('raw_deliveries') }}
    where
        valid_until_delivery is null
        and copy_of_delivery is null
        and source_name is not null
),

-- What no row of dispositions.csv explains is a fault, so that a new reason is one until it is declared harmless there.
accounting as (
    select
        accounted.delivery_number,
        sum(case when dispositions.kind = 'used' then accounted.row_count else 0 end) as used_count,
        sum(case when dispositions.kind = 'prose' then accounted.row_count else 0 end) as prose_count,
        sum(case when dispositions.kind = 'no_city' then accounted.row_count else 0 end) as no_city_count,
        sum(case when dispositions.kind = 'duplicate' then accounted.row_count else 0 end) as duplicate_count,
        sum(case when dispositions.kind is null then accounted.row_count else 0 end) as fault_count
    from {{ ref('fct_row_accounting') }} as accounted
    left join {{ ref('dispositions') }} as dispositions on accounted.disposition = dispositions.disposition
    group by accounted.delivery_number
),

conformed as (
    {%- for entity in var('providers') %}
    select
        origin.delivery_number,
        year,
        set_aside_reason
    from {{ ref('int_' ~ entity ~ '_conformed') }}
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

-- A year outside the period is used by nobody, with or without a city.
file_years as (
    select
        conformed.delivery_number,
        conformed.year,
        count(*) as record_count,
        sum(case when dispositions.kind = 'no_city' then 1 else 0 end) as no_city_count
    from conformed
    left join {{ ref('dispositions') }} as dispositions on conformed.set_aside_reason = dispositions.disposition
    where
        conformed.year between {{ period('first_year') }} and {{ period('last_year') }}
        and dispositions.kind is distinct from 'superseded'
    group by conformed.delivery_number, conformed.year
),

-- A year is a small part of a file: all of it can be lost without a high share in the file.
worst_years as (
    select
        delivery_number,
        sum(no_city_count) as no_city_count,
        max(no_city_count / record_count) as no_city_share,
        arg_max(year, no_city_count / record_count) filter (where no_city_count > 0) as year
    from file_years
    group by delivery_number
),

-- What a declaration says a register is placed by; one without [registers.place] has a code.
{%- set by_code, by_name = ["''"], ["''"] %}
{%- for provider in var('register_providers')['firm_register'] %}
{%- set place = register_declaration(provider, 'firm_register').place %}
{%- if not place or 'code' in place or 'credit_code' in place %}{% do by_code.append(literal(provider)) %}{% endif %}
{%- if 'name' in place %}{% do by_name.append(literal(provider)) %}{% endif %}
{%- endfor %}
placement as (
    select
        provider,
        source_name,
        case
            when provider in ({{ by_code | join(', ') }})
                then cast(sum(known_by_code_count) as double) / nullif(sum(row_count), 0)
        end as placed_by_code_share,
        case
            when provider in ({{ by_name | join(', ') }})
                then cast(sum(known_by_name_count) as double) / nullif(sum(row_count), 0)
        end as placed_by_name_share
    from {{ ref('fct_register_placement') }}
    where entity = 'firm_register'
    group by provider, source_name
),

final as (
    select
        deliveries.provider,
        deliveries.source_name,
        deliveries.delivery_number,
        deliveries.file_path,
        cast(worst_years.year as varchar) as year,
        deliveries.record_count,
        cast(sum(coalesce(accounting.used_count, 0)) over source_files as bigint) as source_used_count,
        cast(coalesce(accounting.fault_count, 0) as bigint) as faulty_count,
        -- Counts are sums of records, and one that is lost makes a sum too small without a trace.
        case
            when list_contains({{ var('counted_entities') }}, deliveries.entity)
                then cast(coalesce(accounting.fault_count, 0) + coalesce(worst_years.no_city_count, 0) as bigint)
            -- Without exits it is a part of all firms anyway, and the share that is placed is judged.
            when deliveries.provider in {{ providers_lacking('exit') }} and deliveries.entity = 'firm_register'
                then cast(0 as bigint)
            -- Of a register's millions of records some are faulty, and the share is judged.
            when deliveries.entity in ('firm_register', 'patent_register')
                then cast(coalesce(accounting.no_city_count, 0) as bigint)
        end as lost_count_records,
        coalesce(accounting.fault_count, 0) / nullif(deliveries.record_count, 0) as faulty_share,
        sum(coalesce(accounting.fault_count, 0)) over source_files
        / nullif(sum(deliveries.record_count) over source_files, 0) as source_faulty_share,
        coalesce(accounting.prose_count, 0) / nullif(deliveries.record_count, 0) as prose_share,
        coalesce(
            worst_years.no_city_share, accounting.no_city_count / nullif(deliveries.record_count, 0), 0
        ) as unknown_city_share,
        coalesce(accounting.duplicate_count, 0) / nullif(deliveries.record_count, 0) as duplicate_share,
        placement.placed_by_code_share,
        placement.placed_by_name_share
    from deliveries
    left join accounting on deliveries.delivery_number = accounting.delivery_number
    left join worst_years on deliveries.delivery_number = worst_years.delivery_number
    left join placement
        on
            deliveries.provider = placement.provider
            and deliveries.source_name = placement.source_name
    window source_files as (partition by deliveries.provider, deliveries.source_name)
)

select * from final
