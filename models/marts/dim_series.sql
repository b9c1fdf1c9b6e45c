with

sources as (
    select
        series as quantity,
        * exclude (series)
    from {{ ref('int_series_sources') }}
),

series as (
    select
        series as quantity,
        unit,
        label_en,
        label_zh,
        interpolates
    from {{ ref('series') }}
),

provider_labels as (
    select
        name as provider,
        label_en as provider_en,
        label_zh as provider_zh
    from {{ ref('labels') }}
    where kind = 'provider'
),

substituted_labels as (
    select
        series as quantity,
        * exclude (series)
    from {{ ref('substituted_labels') }}
    where kind = 'series'
),

substitutions as (
    select * from {{ ref('substitutions') }}
),

conformed as (
    select * from {{ ref('int_series_conformed') }}
),

coverage as (
    select
        series,
        quantity,
        scope,
        max(case when is_spliced then null else provider end) as provider,
        string_agg(
            distinct case when is_spliced then provider || ' ' || year end, ', '
            order by case when is_spliced then provider || ' ' || year end
        ) as spliced_years,
        cast(min(case when value is not null then year end) as integer) as first_year,
        cast(max(case when value is not null then year end) as integer) as last_year,
        cast(count(value) as integer) as city_year_count
    from conformed
    group by series, quantity, scope
),

-- Series that each value check compares. A check is available only if all of its series were delivered.
value_checks as (
    select
        scope,
        list_filter(
            list_concat([series, per], string_split(compared_with, '+')), lambda name: name is not null
        ) as members
    from {{ ref('value_checks') }}
),

delivered as (
    select
        scope,
        list(quantity) as quantities
    from coverage
    group by scope
),

checks as (
    select
        unnest(value_checks.members) as quantity,
        value_checks.scope,
        'same row' as checked_against
    from value_checks
    inner join delivered using (scope)
    where list_has_all(delivered.quantities, value_checks.members)
    union
    select
        quantity,
        scope,
        'second source' as checked_against
    from coverage
    group by quantity, scope
    having count(*) > 1
    union
    select
        unnest([coverage.quantity, totals.quantity]) as quantity,
        coverage.scope,
        'province total' as checked_against
    from coverage
    inner join coverage as totals on 'province_' || coverage.quantity = totals.quantity
    union
    select
        unnest(list_append(list(flows.series), flows.stock_series)) as quantity,
        coverage.scope,
        'stock and flows' as checked_against
    from {{ ref('series') }} as flows
    inner join coverage on flows.series = coverage.series
    where flows.stock_series is not null
    group by flows.stock_series, coverage.scope
    having count(*) = 2
),

checked as (
    select
        quantity,
        scope,
        string_agg(checked_against, ', ' order by checked_against) as checked_against
    from checks
    group by quantity, scope
),

-- Registers that cannot provide all counts. A sample provides none, and a register that lacks dissolved firms provides
-- neither stocks nor exits.
registers as (
    select distinct
        provider,
        is_sample
    from {{ ref('raw_register_files') }}
    where
        entity = 'firm_register'
        and (is_sample or lacks_exit)
),

register_counts as (
    select
        unnest([
            'firm_count', 'firm_exit_count', 'firm_entry_count', 'ai_firm_count', 'ai_firm_exit_count',
            'ai_firm_entry_count'
        ]) as quantity
),

absences as (
    select
        counts.quantity,
        string_agg(
            coalesce('The ' || labels.provider_en, 'The register of ' || registers.provider) || case
                when registers.is_sample
                    then ' is a sample: it provides shares and composition, but no counts.'
                else ' has no exits: it provides the entries of surviving firms, but no stock.'
            end,
            ' ' order by registers.provider
        ) as absence_reason,
        string_agg(
            coalesce(labels.provider_zh, registers.provider || ' 的名录') || case
                when registers.is_sample then '是抽样：只给出占比与构成，不给出数量。'
                else '没有注销记录：只给出存续企业的设立数，不给出存量。'
            end,
            '' order by registers.provider
        ) as absence_reason_zh
    from registers
    inner join register_counts as counts on registers.is_sample or counts.quantity not like '%entry%'
    left join provider_labels as labels using (provider)
    group by counts.quantity
),

-- All series declared in the seeds, delivered or not, and `series@provider` for the series that non-default providers
-- deliver.
scopes as (
    select distinct
        quantity as series,
        quantity,
        scope
    from sources
    union
    select
        series,
        quantity,
        scope
    from coverage
),

-- Deliveries that feed each series. Counts computed from registers have the provider `register` and are traced to the
-- register's deliveries.
feeding_sources as (
    select distinct
        corrected.series as quantity,
        sources.scope,
        corrected.provider,
        deliveries.provenance_class,
        deliveries.publisher,
        deliveries.republished_by,
        deliveries.licence,
        coalesce(list_contains(string_split(deliveries.interpolated_series, ' '), corrected.series), false)
            as is_interpolated,
        deliveries.citation_en,
        deliveries.citation_zh,
        deliveries.source_link,
        deliveries.looked_up_on,
        deliveries.accessed_on
    from {{ ref('int_series_corrected') }} as corrected
    inner join sources
        on
            corrected.series = sources.quantity
            and corrected.scope = sources.delivered_scope
            and corrected.provider = sources.provider
    inner join {{ ref('raw_deliveries') }} as deliveries
        on
            deliveries.valid_until_delivery is null
            and (
                (corrected.provider = deliveries.provider and corrected.source_name = deliveries.source_name)
                or (corrected.provider = 'register' and corrected.source_name = deliveries.entity)
            )
),

-- Provenance of each series. It combines all providers in use, because a series may take different years from different
-- providers.
provenance as (
    select
        feeding_providers.series,
        scope,
        {%- for column in [
            'provenance_class', 'publisher', 'republished_by', 'licence', 'citation_en', 'citation_zh'
        ] %}
        string_agg(distinct {{ column }}, '; ' order by {{ column }}) as {{ column }},
        {%- endfor %}
        string_agg(distinct feeding_sources.source_link, ' ' order by feeding_sources.source_link) as source_links,
        {%- for day in ['looked_up_on', 'accessed_on'] %}
        case when count({{ day }}) = count(*) then max({{ day }}) end as {{ day }},
        {%- endfor %}
        bool_or(feeding_sources.is_interpolated) as is_interpolated
    from (
        select distinct
            series,
            quantity,
            scope,
            provider
        from conformed
    ) as feeding_providers
    inner join feeding_sources using (quantity, scope, provider)
    group by feeding_providers.series, scope
),

final as (
    select
        {{ extract_set() }} as extract_set,
        scopes.*,
        series.unit,
        coalesce(substituted_labels.label_en, series.label_en)
        || case
            when scopes.series <> scopes.quantity
                then ', ' || coalesce(provider_labels.provider_en, coverage.provider)
            else ''
        end as label_en,
        coalesce(substituted_labels.label_zh, series.label_zh)
        || case
            when scopes.series <> scopes.quantity
                then '，' || coalesce(provider_labels.provider_zh, coverage.provider)
            else ''
        end as label_zh,
        coverage.provider is not null as is_delivered,
        coverage.provider,
        sources.substitution,
        substitutions.substitution_zh,
        provenance.* exclude (series, scope),
        series.interpolates,
        absences.absence_reason,
        absences.absence_reason_zh,
        coverage.first_year,
        coverage.last_year,
        coverage.spliced_years,
        coalesce(coverage.city_year_count, 0) as city_year_count,
        case when coverage.provider is not null then checked.checked_against end as checked_against,
        slips.series is not null as is_measured,
        slips.cell_factor,
        slips.cell_standard_errors,
        slips.province_factor,
        slips.province_standard_errors
    from scopes
    inner join series using (quantity)
    left join coverage using (series, quantity, scope)
    left join absences
        on
            scopes.quantity = absences.quantity
            and coverage.provider is null
    left join checked using (quantity, scope)
    left join sources using (quantity, scope, provider)
    left join substitutions using (substitution)
    left join provenance using (series, scope)
    left join provider_labels on coverage.provider = provider_labels.provider
    left join substituted_labels
        on
            sources.substitution is not null
            and sources.quantity = substituted_labels.quantity
            and sources.provider = substituted_labels.provider
    left join {{ ref('found_slips') }} as slips using (series, scope, provider)
)

select * from final
