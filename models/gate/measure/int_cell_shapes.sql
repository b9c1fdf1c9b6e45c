{%- set small, rounded, vanished = var('small_counts'), var('rounded_counts'), var('vanished_stocks') -%}
{%- set rates, repeated = var('dissolution_ratios'), var('repeated_flows') -%}
with

shown_series as (
    select * from {{ ref('int_shown_series') }}
),

conformed as (
    select * from {{ ref('int_records_conformed') }}
    where
        set_aside_reason is null
        and (entity = 'firm_survival' or (entity = 'patents' and patent_type = 'invention'))
),

industries as (
    select * from {{ ref('industries') }}
),

-- Scopes that contain each industry section. Counts from providers without industries (section 'all') cover all
-- industries.
section_scopes as (
    select
        section,
        scope
    from {{ ref('industry_scopes') }}
    union all
    select
        'all' as section,
        'all_industries' as scope
),

sources as (
    select * from {{ ref('int_series_sources') }}
),

cities as (
    select
        city_id,
        province_id,
        province_name_zh
    from {{ ref('cities') }}
),

provinces as (
    select
        province_id,
        any_value(province_name_zh) as province_name_zh,
        count(*) as city_count
    from cities
    group by province_id
),

-- Delivered counts by cell. A cell is the smallest unit that the provider counts: a city or county, and an industry if
-- the provider reports industries.
delivered as (
    select
        conformed.provider,
        conformed.year,
        cities.province_id,
        case when conformed.industry_code is null then 'all' else industries.section end as section,
        {%- for kind in ['firm', 'ai_firm'] %}
        {%- for count in ['count', 'entry_count', 'exit_count'] %}
        cast(conformed.{{ kind ~ '_' ~ count }} as bigint) as {{ kind ~ '_' ~ count }},
        {%- endfor %}
        {%- endfor %}
        {%- for kind in ['', 'ai_'] %}
        {%- for count in ['application_count', 'grant_count'] %}
        cast(conformed.{{ kind ~ count }} as bigint) as {{ kind ~ 'invention_' ~ count }},
        {%- endfor %}
        {%- endfor %}
        hash(conformed.city_id, conformed.county_code, conformed.industry_code) as cell
    from conformed
    inner join cities on conformed.city_id = cities.city_id
    left join industries on conformed.industry_code = industries.industry_code
),

counts as (
    select *
    from delivered
    unpivot (
        value for series in (columns(* exclude (provider, year, province_id, section, cell)))
    )
    where value > 0
),

-- Largest and smallest count of each cell over all years, because the yearly counts of one cell are not independent.
extremes as (
    select
        series,
        section,
        provider,
        province_id,
        max(year) as year,
        max(value) as largest,
        min(value) as smallest
    from counts
    group by series, section, provider, province_id, cell
),

-- Number of cells with small counts (up to n), and with counts in the next two ranges (up to about 2n and up to about
-- 4n).
tallies as (
    {%- for relation, value, kind in [
        ('counts', 'value', 'of the year'), ('extremes', 'largest', 'largest of a cell'),
        ('extremes', 'smallest', 'smallest of a cell')
    ] %}
    {% if not loop.first %}union all{% endif %}
    select
        series,
        section,
        provider,
        province_id,
        {{ 'year' if relation == 'counts' else 'null' }} as year,
        {%- for first, last in small.windows %}
        count(case when {{ value }} between {{ first }} and {{ last }} then 1 end) as small_{{ loop.index }},
        count(case when {{ value }} between {{ last + 1 }} and {{ 2 * last + 1 }} then 1 end) as next_{{ loop.index }},
        count(case when {{ value }} between {{ 2 * (last + 1) }} and {{ 4 * last + 3 }} then 1 end)
            as later_{{ loop.index }},
        {%- endfor %}
        '{{ kind }}' as kind
    from {{ relation }}
    where {{ value }} <= {{ 4 * small.windows[-1][1] + 3 }}
    group by series, section, provider, province_id{{ ', year' if relation == 'counts' }}
    {%- endfor %}
),

in_windows as (
    {%- for first, last in small.windows %}
    {% if not loop.first %}union all{% endif %}
    select
        tallies.series,
        section_scopes.scope,
        tallies.provider,
        tallies.province_id,
        tallies.year,
        tallies.kind,
        {{ first }} as first_count,
        {{ last }} as last_count,
        sum(tallies.small_{{ loop.index }}) as small_count,
        sum(tallies.next_{{ loop.index }}) as next_count,
        sum(tallies.later_{{ loop.index }}) as later_count
    from tallies
    inner join section_scopes using (section)
    group by
        tallies.series, section_scopes.scope, tallies.provider, tallies.province_id, tallies.year, tallies.kind
    {%- endfor %}
),

-- Lower bound for the expected number of small counts, extrapolated from the decline between the next two ranges of
-- counts.
expected as (
    select
        series,
        scope,
        provider,
        year,
        kind,
        first_count,
        last_count,
        sum(small_count) as small_count,
        least(sum(next_count), sum(next_count) ** 2 / nullif(sum(later_count), 0))
        * (last_count - first_count + 1) / last_count as expected_count
    from in_windows
    group by series, scope, provider, year, kind, first_count, last_count
),

suppressed as (
    select
        series,
        scope,
        provider,
        year,
        string_agg(
            first_count || '-' || last_count || ' (' || kind || '): ' || small_count || ' of '
            || cast(round(expected_count) as bigint),
            ', ' order by kind, last_count, first_count
        ) as suppressed_counts
    from expected
    where
        expected_count >= {{ small.least_expected }}
        and small_count < {{ small.share_min }} * expected_count
    group by series, scope, provider, year
),

-- Small counts by province. Yearly counts of a province's few cells are dependent, so only the largest and the smallest
-- count of each cell are used.
of_provinces as (
    select
        in_windows.series,
        in_windows.scope,
        in_windows.provider,
        in_windows.kind,
        in_windows.last_count,
        provinces.province_name_zh,
        sum(in_windows.small_count) as small_count,
        sum(in_windows.next_count) as next_count
    from in_windows
    inner join provinces using (province_id)
    where
        in_windows.first_count = 1
        and in_windows.year is null
        and provinces.city_count >= {{ small.cities_of_a_province }}
    group by all
),

-- Expected number of small counts in a province at the national ratio, and the probability that a province without any
-- lacks them by chance. The probability uses the ratio in provinces that do report small counts.
expected_of_provinces as (
    select
        *,
        next_count * sum(small_count) over kinds / nullif(sum(next_count) over kinds, 0) as expected_count,
        case
            when small_count = 0
                then
                    (
                        sum(next_count) filter (where small_count > 0) over kinds
                        / sum(small_count + next_count) filter (where small_count > 0) over kinds
                    ) ** next_count
        end as chance_of_none
    from of_provinces
    window kinds as (partition by series, scope, provider, kind, last_count)
),

-- Provinces that lack small counts, and the joint probability that all of them do so by chance. One such province may
-- be due to chance; several are unlikely to be.
suppressing_provinces as (
    select
        *,
        product(case when chance_of_none < {{ small.chance_of_a_province }} then chance_of_none end) over kinds
            as chance_of_all
    from expected_of_provinces
    window kinds as (partition by series, scope, provider, kind, last_count)
    qualify
        (
            next_count >= {{ small.least_next_of_a_province }}
            and expected_count >= {{ small.least_expected }}
            and small_count < {{ small.share_min_of_a_province }} * expected_count
        )
        or (chance_of_none < {{ small.chance_of_a_province }} and chance_of_all < {{ small.chance_of_all }})
),

suppressing as (
    select
        series,
        scope,
        provider,
        string_agg(distinct province_name_zh, ', ' order by province_name_zh) as suppressed_provinces
    from suppressing_provinces
    group by series, scope, provider
),

-- Number of counts, and number of multiples of two, three and five, to detect rounding: every second whole number is
-- even, every third a multiple of three. Counting starts half a unit below the first multiple, because rounding would
-- raise these numbers to that multiple.
digits as (
    select
        series,
        section,
        provider,
        year,
        province_id,
        {%- for unit in rounded.units %}
        {%- set least = (rounded.least_count + unit - 1) // unit * unit %}
        count(case when value >= {{ least - unit // 2 }} then 1 end) as of_{{ unit }},
        count(case when value >= {{ least }} and value % {{ unit }} = 0 then 1 end) as multiples_of_{{ unit }},
        {%- endfor %}
        count(*) as cell_count
    from counts
    group by series, section, provider, year, province_id
),

judged as (
    {%- for province, more in [('null', ''), ('digits.province_id', ', digits.province_id')] %}
    {% if not loop.first %}union all{% endif %}
    select
        digits.series,
        section_scopes.scope,
        digits.provider,
        digits.year,
        {{ province }} as province_id,
        {%- for unit in rounded.units %}
        sum(digits.of_{{ unit }}) as of_{{ unit }},
        sum(digits.multiples_of_{{ unit }}) as multiples_of_{{ unit }},
        {%- endfor %}
        sum(digits.cell_count) as cell_count
    from digits
    inner join section_scopes using (section)
    group by digits.series, section_scopes.scope, digits.provider, digits.year{{ more }}
    {%- endfor %}
),

shares_of_units as (
    {%- for unit in rounded.units %}
    {% if not loop.first %}union all{% endif %}
    select
        series,
        scope,
        provider,
        year,
        province_id,
        {{ unit }} as unit,
        (multiples_of_{{ unit }} / of_{{ unit }} - 1 / {{ unit }}) / (1 - 1 / {{ unit }}) as rounded_share,
        (multiples_of_{{ unit }} / of_{{ unit }} - 1 / {{ unit }})
        / sqrt(({{ unit }} - 1) / {{ unit }} ** 2 / of_{{ unit }}) as error_count
    from judged
    where of_{{ unit }} > 0
    {%- endfor %}
),

rounding as (
    select
        shares_of_units.series,
        shares_of_units.scope,
        shares_of_units.provider,
        shares_of_units.year,
        string_agg(
            coalesce(provinces.province_name_zh || ' ', '') || shares_of_units.unit || ': '
            || cast(round(100 * shares_of_units.rounded_share) as bigint) || ' %',
            ', ' order by shares_of_units.province_id nulls first, shares_of_units.unit
        ) as rounded_counts
    from shares_of_units
    left join provinces using (province_id)
    where
        shares_of_units.rounded_share > {{ rounded.share_max }}
        and shares_of_units.error_count > {{ rounded.errors_max }}
    group by shares_of_units.series, shares_of_units.scope, shares_of_units.provider, shares_of_units.year
),

-- Counts by cell and year. The records of a cell are summed, because entries and exits may be delivered in other files
-- than the number of firms.
cell_years as (
    select
        provider,
        section,
        province_id,
        cell,
        year,
        sum(firm_count) as firm_count,
        sum(firm_exit_count) as firm_exit_count,
        sum(ai_firm_count) as ai_firm_count,
        sum(ai_firm_exit_count) as ai_firm_exit_count
    from delivered
    where firm_count > 0 or ai_firm_count > 0 or firm_exit_count > 0 or ai_firm_exit_count > 0
    group by provider, section, province_id, cell, year
),

-- Cells whose number of firms falls to zero, or is missing, although fewer firms dissolved than existed.
gone as (
    {%- for kind in ['firm', 'ai_firm'] %}
    {% if not loop.first %}union all{% endif %}
    select
        '{{ kind }}_count' as series,
        earlier.provider,
        earlier.section,
        earlier.province_id,
        earlier.year + 1 as year,
        count(*) as stock_count,
        count(
            case
                when
                    coalesce(later.{{ kind }}_count, 0) = 0
                    and coalesce(later.{{ kind }}_exit_count, 0) < earlier.{{ kind }}_count
                    then 1
            end
        ) as gone_count
    from cell_years as earlier
    left join cell_years as later
        on
            earlier.provider = later.provider
            and earlier.cell = later.cell
            and earlier.year + 1 = later.year
    where earlier.{{ kind }}_count >= {{ vanished.least_stock }}
    group by earlier.provider, earlier.section, earlier.province_id, earlier.year
    {%- endfor %}
),

vanishing as (
    select
        gone.series,
        section_scopes.scope,
        gone.provider,
        gone.year,
        gone.province_id
    from gone
    inner join section_scopes using (section)
    group by gone.series, section_scopes.scope, gone.provider, gone.year, gone.province_id
    having
        sum(gone.gone_count) >= {{ vanished.least_cells }}
        and sum(gone.gone_count) > {{ vanished.share_max }} * sum(gone.stock_count)
),

vanished as (
    select
        vanishing.series,
        vanishing.scope,
        vanishing.provider,
        vanishing.year,
        string_agg(provinces.province_name_zh, ', ' order by provinces.province_id) as vanished_provinces
    from vanishing
    inner join provinces using (province_id)
    group by vanishing.series, vanishing.scope, vanishing.provider, vanishing.year
),

-- Number of firms at risk of dissolution: the firms alive at the end of a year plus the firms dissolved during the
-- year.
at_risk as (
    {%- for year, province, more in [
        ('null', 'null', ''),
        ('cell_years.year', 'null', ', cell_years.year'),
        ('null', 'cell_years.province_id', ', cell_years.province_id')
    ] %}
    {% if not loop.first %}union all{% endif %}
    select
        cell_years.provider,
        section_scopes.scope,
        {{ year }} as year,
        {{ province }} as province_id,
        sum(cell_years.firm_exit_count) as exit_count,
        sum(cell_years.firm_count) + sum(cell_years.firm_exit_count) as risk_count,
        sum(cell_years.ai_firm_exit_count) as ai_exit_count,
        sum(cell_years.ai_firm_count) + sum(cell_years.ai_firm_exit_count) as ai_risk_count
    from cell_years
    inner join section_scopes using (section)
    group by cell_years.provider, section_scopes.scope{{ more }}
    {%- endfor %}
),

-- Expected number of dissolved AI firms if they dissolved at the rate of all firms in the same year or province, and
-- the ratio of the observed to the expected number.
dissolution as (
    select
        provider,
        scope,
        year,
        province_id,
        ai_risk_count * exit_count / risk_count as expected_count,
        ai_exit_count / (ai_risk_count * exit_count / risk_count) as ratio
    from at_risk
    where
        ai_risk_count > 0
        and exit_count > 0
),

nation as (
    select * from dissolution
    where
        year is null
        and province_id is null
),

odd_rates as (
    select
        dissolution.provider,
        dissolution.scope,
        string_agg(
            coalesce(provinces.province_name_zh, cast(dissolution.year as varchar), 'all') || ': '
            || round(dissolution.ratio, 2),
            ', ' order by dissolution.year, dissolution.province_id
        ) as odd_rates
    from dissolution
    inner join nation using (provider, scope)
    left join provinces on dissolution.province_id = provinces.province_id
    where
        dissolution.expected_count >= {{ rates.least_expected }}
        and case
            when dissolution.year is not null
                then dissolution.ratio not between {{ rates.of_a_year[0] }} and {{ rates.of_a_year[1] }}
            when dissolution.province_id is not null
                then
                    dissolution.ratio / nation.ratio
                    not between {{ rates.of_a_province[0] }} and {{ rates.of_a_province[1] }}
            else dissolution.ratio not between {{ rates.of_all[0] }} and {{ rates.of_all[1] }}
        end
    group by dissolution.provider, dissolution.scope
),

-- AI entries and exits by cell, with the value of the previous year. A value of at least two rarely repeats in the next
-- year. The check for repeats in int_series_shapes needs larger counts.
flow_steps as (
    select
        series,
        section,
        provider,
        year,
        value,
        lag(value) over cell_years as previous_value,
        lag(year) over cell_years as previous_year
    from counts
    where
        series like 'ai_%'
        and series <> 'ai_firm_count'
    window cell_years as (partition by series, provider, cell order by year)
),

repeating as (
    select
        flow_steps.series,
        section_scopes.scope,
        flow_steps.provider,
        flow_steps.year,
        avg(case when flow_steps.value = flow_steps.previous_value then 1 else 0 end) as repeated_share
    from flow_steps
    inner join section_scopes using (section)
    where
        flow_steps.previous_year = flow_steps.year - 1
        and least(flow_steps.value, flow_steps.previous_value) >= {{ repeated.least_count }}
    group by flow_steps.series, section_scopes.scope, flow_steps.provider, flow_steps.year
    having count(*) >= {{ repeated.cells }}
),

-- Series that the default specifications use, by provider, including `series@provider` for non-default providers.
shown as (
    select distinct
        sources.series,
        sources.delivered_scope as scope,
        sources.provider
    from sources
    inner join shown_series
        on
            sources.scope = shown_series.scope
            and shown_series.series in (sources.series, sources.series || '@' || sources.provider)
),

years as (
    select
        *,
        year = max(year) over (partition by series, scope, provider) as is_last
    from judged
    where province_id is null
),

-- Results that cover all years are stored in the row of the last year.
final as (
    select
        years.series,
        years.scope,
        years.provider,
        years.year,
        shown.series is not null as is_shown,
        years.cell_count,
        nullif(concat_ws(', ', suppressed.suppressed_counts, of_all_years.suppressed_counts), '') as suppressed_counts,
        suppressing.suppressed_provinces,
        rounding.rounded_counts,
        vanished.vanished_provinces,
        case when repeating.repeated_share > {{ repeated.share_max }} then round(repeating.repeated_share, 2) end
            as repeated_share,
        case when years.series = 'ai_firm_count' and years.is_last then nation.ratio end as dissolution_ratio,
        case when years.series = 'ai_firm_count' and years.is_last then odd_rates.odd_rates end as odd_rates
    from years
    left join shown using (series, scope, provider)
    left join suppressed using (series, scope, provider, year)
    left join suppressed as of_all_years
        on
            years.is_last
            and of_all_years.year is null
            and years.series = of_all_years.series
            and years.scope = of_all_years.scope
            and years.provider = of_all_years.provider
    left join suppressing
        on
            years.is_last
            and years.series = suppressing.series
            and years.scope = suppressing.scope
            and years.provider = suppressing.provider
    left join rounding using (series, scope, provider, year)
    left join vanished using (series, scope, provider, year)
    left join repeating using (series, scope, provider, year)
    left join nation
        on
            years.provider = nation.provider
            and years.scope = nation.scope
    left join odd_rates
        on
            years.provider = odd_rates.provider
            and years.scope = odd_rates.scope
)

select * from final
