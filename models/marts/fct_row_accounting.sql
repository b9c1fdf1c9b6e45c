with

deliveries as (
    select * from {{ ref('raw_deliveries') }}
),

rejected as (
    select
        rejected_rows.delivery_number,
        case
            when deliveries.valid_until_delivery is null then rejected_rows.reason
            when successors.delivery_number is null then 'withdrawn'
            else 'superseded'
        end as disposition
    from {{ ref('raw_rejected_rows') }} as rejected_rows
    inner join deliveries on rejected_rows.delivery_number = deliveries.delivery_number
    left join deliveries as successors on deliveries.valid_until_delivery = successors.delivery_number
),

industries_in_scope as (
    select distinct industries.industry_code
    from {{ ref('industries') }} as industries
    inner join {{ ref('industry_scopes') }} as industry_scopes on industries.section = industry_scopes.section
),

city_yearbook as (
    select
        delivery_number,
        coalesce(set_aside_reason, 'used') as disposition
    from {{ ref('int_city_yearbook_conformed') }}
),

firm_survival as (
    select
        conformed.delivery_number,
        case
            when conformed.set_aside_reason is not null then conformed.set_aside_reason
            when conformed.industry_code is not null and industries_in_scope.industry_code is null then 'in no series'
            else 'used'
        end as disposition
    from {{ ref('int_firm_survival_conformed') }} as conformed
    left join industries_in_scope on conformed.industry_code = industries_in_scope.industry_code
),

patents as (
    select
        conformed.delivery_number,
        case
            when conformed.set_aside_reason is not null then conformed.set_aside_reason
            when conformed.patent_type <> 'invention' or industries_in_scope.industry_code is null then 'in no series'
            else 'used'
        end as disposition
    from {{ ref('int_patents_conformed') }} as conformed
    left join industries_in_scope on conformed.industry_code = industries_in_scope.industry_code
),

records as (
    select * from rejected
    {%- for entity in var('providers') %}
    union all
    select * from {{ entity }}
    {%- endfor %}
),

counted as (
    select
        delivery_number,
        disposition,
        count(*) as row_count
    from records
    group by delivery_number, disposition
    union all
    select
        delivery_number,
        'copy of another delivery' as disposition,
        record_count as row_count
    from deliveries
    where
        copy_of_delivery is not null
        and record_count > 0
),

final as (
    select
        deliveries.extract_set,
        deliveries.provider,
        deliveries.source_name,
        deliveries.entity,
        deliveries.delivery_number,
        deliveries.file_path,
        counted.disposition,
        cast(counted.row_count as bigint) as row_count
    from deliveries
    inner join counted on deliveries.delivery_number = counted.delivery_number
)

select * from final
