with

deliveries as (
    select * from {{ ref('raw_deliveries') }}
),

rejected as (
    select
        rejected_rows.delivery_number,
        coalesce({{ ended_as('deliveries.valid_until_delivery') }}, rejected_rows.reason) as disposition
    from {{ ref('raw_rejected_rows') }} as rejected_rows
    inner join deliveries using (delivery_number)
),

industries_in_scope as (
    select distinct industries.industry_code
    from {{ ref('industries') }} as industries
    inner join {{ ref('industry_scopes') }} using (section)
),

sections_in_scope as (
    select distinct section
    from {{ ref('industry_scopes') }}
    union
    select 'all' as section
),

conformed as (
    select
        origin.delivery_number,
        case
            when set_aside_reason is not null then set_aside_reason
            when patent_type <> 'invention' then 'in no series'
            -- In SQL, `null not in` an empty list is true. Without the null test, a study without industries would
            -- therefore use none of its records.
            when
                industry_code is not null
                and industry_code not in (select in_scope.industry_code from industries_in_scope as in_scope)
                then 'in no series'
            else 'used'
        end as disposition
    from {{ ref('int_records_conformed') }}
),

covered as (
    select distinct
        provider,
        province_id,
        entry_year
    from {{ ref('int_register_coverage') }}
    where is_covered
),

-- Register rows are counted by cell, because counting millions of rows one by one would be slow.
registers as (
    select
        files.delivery_number,
        case
            when cells.set_aside_reason is not null then cells.set_aside_reason
            -- In a register without exit dates, a firm counts only in its year of entry.
            when
                cells.entity = 'firm_register'
                and files.lacks_exit
                and cells.start_year < {{ period('first_year') }}
                then 'out of period'
            -- Records of a sample count as used, because shares are computed from them.
            when cells.entity = 'firm_register' and files.is_sample then 'used'
            when cells.entity = 'firm_register' and files.lacks_exit
                then case when covered.province_id is not null then 'used' else 'in no series' end
            when sections_in_scope.section is null then 'in no series'
            when cells.entity = 'firm_register' and cells.end_year >= {{ period('first_year') }} then 'used'
            when
                cells.kind = 'invention'
                and (cells.start_year >= {{ period('first_year') }} or cells.end_year <= {{ period('last_year') }})
                then 'used'
            else 'in no series'
        end as disposition,
        cells.row_count
    from {{ ref('int_register_cells') }} as cells
    inner join {{ ref('raw_register_files') }} as files using (store_key)
    left join sections_in_scope using (section)
    left join {{ ref('cities') }} as cities using (city_id)
    left join covered
        on
            files.provider = covered.provider
            and cities.province_id = covered.province_id
            and cells.start_year = covered.entry_year
),

-- No model reads the rows of registers that were replaced or withdrawn, or of providers that dbt_project.yml does not
-- list.
{%- set listed = dict(var('providers'), **var('register_providers')) %}
unread as (
    select
        deliveries.delivery_number,
        coalesce({{ ended_as('deliveries.valid_until_delivery') }}, 'in no series') as disposition,
        deliveries.landed_row_count as row_count
    from deliveries
    where
        deliveries.copy_of_delivery is null
        and (
            (
                deliveries.entity in ('firm_register', 'patent_register')
                and deliveries.valid_until_delivery is not null
            )
            {%- for entity, providers in listed.items() %}
            or (
                deliveries.entity = '{{ entity }}'
                and not list_contains({{ providers }}, deliveries.provider)
            )
            {%- endfor %}
        )
),

records as (
    select * from rejected
    union all
    select * from conformed
    -- Patent titles count as used although they feed no series, because the AI dictionary is evaluated on them.
    {%- for entity in ['firm_counts', 'patent_counts', 'industry_concordance', 'patent_titles'] %}
    {%- for provider in var('register_providers')[entity] %}
    union all
    select
        delivery_number,
        coalesce({{ ended_as('valid_until_delivery') }}, 'used') as disposition
    from (
        select {{ 'distinct' if entity != 'patent_titles' }} origin.* from {{ ref('stg_' ~ provider ~ '__' ~ entity) }}
    ) as counts
    {%- endfor %}
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
    {%- for counted in ['registers', 'unread'] %}
    union all
    select * from {{ counted }}
    {%- endfor %}
),

final as (
    select
        {{ extract_set() }} as extract_set,
        deliveries.provider,
        deliveries.source_name,
        deliveries.entity,
        delivery_number,
        deliveries.file_path,
        counted.disposition,
        cast(sum(counted.row_count) as bigint) as row_count
    from deliveries
    inner join counted using (delivery_number)
    group by all
)

select * from final
