with

deliveries as (
    select
        *,
        lag(delivery_number) over path_order as replaced_delivery_number,
        lag(record_count) over path_order as replaced_record_count
    from {{ ref('raw_deliveries') }}
    window path_order as (partition by file_path, entity order by delivery_number)
),

source_checks as (
    select
        delivery_number,
        lost_count_records
    from {{ ref('int_source_checks') }}
),

series_sources as (
    select * from {{ ref('int_series_sources') }}
),

{%- set kinds = [
    'used', 'in_no_series', 'out_of_period', 'superseded', 'prose', 'repeated_sheet', 'duplicate', 'no_city',
    'known_other', 'fault'
] %}

accounting as (
    select
        accounted.delivery_number,
        {%- for kind in kinds %}
        sum(case when coalesce(reasons.kind, 'fault') = '{{ kind }}' then accounted.row_count else 0 end)
            as {{ kind }}_count,
        {%- endfor %}
        arg_max(accounted.disposition, accounted.row_count) as main_disposition
    from {{ ref('fct_row_accounting') }} as accounted
    left join {{ ref('reasons') }} as reasons on accounted.disposition = reasons.reason
    group by accounted.delivery_number
),

delivered_series as (
    select distinct
        provider,
        source_name,
        series,
        scope as delivered_scope
    from {{ ref('int_series_corrected') }}
),

first_providers as (
    select
        series,
        sources.scope,
        arg_min(delivered.provider, sources.priority) as provider
    from delivered_series as delivered
    inner join series_sources as sources using (provider, series, delivered_scope)
    group by series, sources.scope
),

spliced as (
    select distinct
        quantity as series,
        scope,
        provider
    from {{ ref('int_series_conformed') }}
    where is_spliced
),

feeding_providers as (
    select distinct provider
    from series_sources
),

-- For each source: the number of delivered series that series_sources.csv lists, and the number of series that use this
-- source.
delivered_sources as (
    select
        delivered.provider,
        delivered.source_name,
        count(sources.scope) as series_count,
        count(case when coalesce(spliced.provider, first_providers.provider) = delivered.provider then 1 end)
            as fed_series_count,
        string_agg(
            distinct delivered.series || ' (' || first_providers.provider || ')', ', '
            order by delivered.series || ' (' || first_providers.provider || ')'
        ) as feeding
    from delivered_series as delivered
    left join series_sources as sources using (provider, series, delivered_scope)
    left join first_providers using (series, scope)
    left join spliced using (provider, series, scope)
    group by delivered.provider, delivered.source_name
),

listed_providers as (
    {%- for entity, providers in dict(var('providers'), **var('register_providers')).items() %}
    select
        '{{ entity }}' as entity,
        unnest({{ providers }}) as provider
    {%- if not loop.last %}
    union all
    {%- endif %}
    {%- endfor %}
),

judged as (
    select
        deliveries.*,
        {%- for kind in kinds %}
        cast(coalesce(accounting.{{ kind }}_count, 0) as bigint) as {{ kind }}_count,
        {%- endfor %}
        accounting.main_disposition,
        source_checks.lost_count_records,
        deliveries.entity in (select l.entity from listed_providers as l) as is_listed_entity,
        listed_providers.provider is not null as is_listed,
        case
            -- Registers are always in use, through the counts that are computed from them.
            when deliveries.entity in ('firm_register', 'patent_register') then true
            when accounting.used_count > 0 then delivered_sources.series_count > 0
            else feeding_providers.provider is not null
        end as is_feeding,
        delivered_sources.fed_series_count,
        delivered_sources.feeding,
        coalesce(
            case when deliveries.provider is null then 'unclaimed' end,
            {{ ended_as('deliveries.valid_until_delivery') }},
            case when deliveries.copy_of_delivery is not null then 'copy' end
        ) as ended_as
    from deliveries
    left join accounting using (delivery_number)
    left join source_checks using (delivery_number)
    left join delivered_sources using (provider, source_name)
    left join feeding_providers using (provider)
    left join listed_providers using (entity, provider)
),

outcomes as (
    select
        *,
        case
            when ended_as is not null then ended_as
            when is_listed_entity and not (is_listed and is_feeding) then 'feeds no series'
            when used_count = 0 then 'nothing used'
            -- fed_series_count is null for registers, because their counts have a different source name.
            when fed_series_count = 0 then 'outranked'
            else 'used'
        end as outcome
    from judged
),

final as (
    select
        {{ extract_set() }} as extract_set,
        delivery_number,
        file_path,
        provider,
        source_name,
        entity,
        outcome,
        case
            when outcome = 'unclaimed'
                then coalesce(
                    hint,
                    'No declaration names it. Declare it in models/staging/<provider>/<provider>.toml, or remove it.'
                )
            when outcome = 'feeds no series' and not is_listed
                then
                    'Add ' || provider || ' to '
                    || case when entity in ('firm_register', 'patent_register') then 'register_' else '' end
                    || 'providers.' || entity || ' in dbt_project.yml.'
            when outcome = 'feeds no series'
                then 'Add the series of ' || provider || '.' || source_name || ' to seeds/series_sources.csv.'
            when outcome = 'nothing used' and record_count = 0 then 'It has no records. Ask for a file that has some.'
            when
                outcome = 'nothing used'
                and main_disposition in ('out of period', 'after the period')
                and in_no_series_count = 0
                then
                    case
                        when entity = 'firm_register'
                            then
                                'Its firms registered in years outside {{ period('first_year') }} to '
                                || '{{ period('last_year') }}. To count them, set period: in extract_set.yml.'
                        else
                            'Its years lie outside {{ period('first_year') }} to {{ period('last_year') }} '
                            || '(period in extract_set.yml, or else first_year and last_year in dbt_project.yml).'
                    end
            when outcome = 'nothing used'
                then
                    'Most of its records: ' || main_disposition
                    || '. See raw.rejected_rows and '
                    || case
                        when entity in ('firm_register', 'patent_register') then 'marts.fct_register_rows_set_aside.'
                        else 'marts.fct_rows_set_aside.'
                    end
            when outcome = 'outranked'
                then
                    'Other providers feed its series by default: ' || feeding || '. Its own are series@' || provider
                    || '. To change that, name the series in a row of ' || provider
                    || ' in seeds/series_sources.csv, with the lowest priority.'
        end as remedy,
        provenance_class,
        publisher,
        republished_by,
        licence,
        interpolated_series,
        citation_en,
        citation_zh,
        source_address,
        source_commit,
        source_path,
        source_link,
        looked_up_on,
        accessed_on,
        may_be_passed_on,
        record_count,
        used_count,
        in_no_series_count,
        out_of_period_count,
        superseded_count,
        prose_count,
        cast(repeated_sheet_count + duplicate_count as bigint) as duplicate_count,
        no_city_count,
        known_other_count,
        fault_count,
        lost_count_records,
        replaced_delivery_number,
        replaced_record_count,
        record_count / nullif(replaced_record_count, 0) - 1 as record_count_change_share
    from outcomes
)

select * from final
