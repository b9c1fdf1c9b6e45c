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

sections_in_scope as (
    select distinct section
    from {{ ref('industry_scopes') }}
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

{%- for register, series_condition in [
    ('firm_register', 'cells.exit_year >= ' ~ var('first_year')),
    ('patent_register', "cells.patent_type = 'invention' and (cells.application_year >= " ~ var('first_year')
        ~ ' or cells.grant_year <= ' ~ var('last_year') ~ ')')
] %}

-- A register is counted by cells: its rows are too many to list.
{{ register }} as (
    select
        cells.file_path,
        case
            when cells.set_aside_reason is not null then cells.set_aside_reason
            when sections_in_scope.section is not null and {{ series_condition }} then 'used'
            else 'in no series'
        end as disposition,
        cells.row_count
    from {{ ref('int_' ~ register ~ '_cells') }} as cells
    left join sections_in_scope on cells.section = sections_in_scope.section
),
{%- endfor %}

repeated_register_files as (
    select
        deliveries.file_path,
        'repeated file' as disposition,
        deliveries.record_count as row_count
    from deliveries
    inner join {{ ref('int_register_files') }} as files
        on
            deliveries.entity = files.entity
            and deliveries.store_key = files.store_key
    where deliveries.file_path <> files.file_path
),

listed as (
    select * from rejected
    {%- for entity in var('providers') %}
    union all
    select * from {{ entity }}
    {%- endfor %}
),

records as (
    select
        *,
        1 as row_count
    from listed
    {%- for counted in ['firm_register', 'patent_register', 'repeated_register_files'] %}
    union all
    select * from {{ counted }}
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
        cast(sum(records.row_count) as bigint) as row_count
    from deliveries
    inner join records on deliveries.file_path = records.file_path
    group by
        deliveries.extract_set, deliveries.provider, deliveries.source_name, deliveries.entity,
        deliveries.file_path, records.disposition
)

select * from final
