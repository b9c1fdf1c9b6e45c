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

industries_in_scope as (
    select distinct industries.industry_code
    from {{ ref('industries') }} as industries
    inner join {{ ref('industry_scopes') }} as industry_scopes on industries.section = industry_scopes.section
),

city_yearbook as (
    select
        file_path,
        coalesce(set_aside_reason, 'used') as disposition
    from {{ ref('int_city_yearbook_conformed') }}
),

firm_survival as (
    select
        conformed.file_path,
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
        conformed.file_path,
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
