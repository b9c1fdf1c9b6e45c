-- name: series_values
create table new.release.series_values as
select
    series,
    scope,
    city_id,
    cast(year as integer) as year,
    value,
    quantity,
    provider
from built.intermediate.int_series_conformed
where value is not null
order by all;

-- name: changed_corrections
create temp table changed_corrections as
with

before as (
    select
        correction_id,
        reason,
        provider,
        series,
        scope,
        year,
        city_id,
        delivered_city_id,
        action,
        value
    from old.marts.fct_corrections
),

after as (
    select
        correction_id,
        reason,
        provider,
        series,
        scope,
        year,
        city_id,
        delivered_city_id,
        action,
        value
    from built.marts.fct_corrections
),

-- Corrections that were added, removed or edited since the published release.
changed as (
    (
        from after
        except all
        from before
    )
    union all
    (
        from before
        except all
        from after
    )
)

select
    correction_id,
    reason,
    provider,
    series as quantity,
    scope,
    year,
    unnest([city_id, delivered_city_id]) as city_id
from changed;

-- name: compared
create temp table compared as
with

new as (
    select * from built.intermediate.int_series_conformed
    where value is not null
),

labels as (
    select
        series,
        scope,
        any_value(label_en) as label
    from old.marts.dim_series
    group by series, scope
),

joined as (
    select
        old.series,
        old.scope,
        old.city_id,
        old.year,
        old.quantity,
        old.value as old_value,
        new.value as new_value,
        coalesce(new.provider, old.provider) as provider,
        new.value is null
        or abs(new.value - old.value) > $changed * abs(old.value) as is_rewritten,
        old.year = max(old.year) over a_series as is_last,
        case when bool_and(old.value = round(old.value)) over a_series then 1 else 0.01 end
            as unit
    from old.release.series_values as old
    left join new
        on
            old.series = new.series
            and old.scope = new.scope
            and old.city_id = new.city_id
            and old.year = new.year
    window a_series as (partition by old.series, old.scope)
),

-- Relative change of each value between successive deliveries. Some deliveries introduce or repair faults, so the usual
-- change is bounded around the default.
repeated as (
    select
        series as quantity,
        provider,
        delivery_number,
        year = max(year) over before as is_last,
        abs(delivered_value / nullif(lag(delivered_value) over a_value, 0) - 1) as change
    from old.marts.fct_delivered_values
    window
        before as (
            partition by series, provider
            order by delivery_number range between unbounded preceding and 1 preceding
        ),
        a_value as (
            partition by series, provider, source_name, city_id, year, industry_code
            order by delivery_number
        )
),

usual as (
    select
        quantity,
        provider,
        is_last,
        count(*) as revisions,
        least(greatest(2 * median(change), $usual_revision / 2), 4 * $usual_revision) as change
    from (
        select
            quantity,
            provider,
            is_last,
            quantile_cont(change, 1 - $cells) as change
        from repeated
        group by quantity, provider, is_last, delivery_number
        having max(change) > $changed
    ) as by_delivery
    group by quantity, provider, is_last
    having count(*) >= $history
),

corrections as (
    select
        provider,
        quantity,
        scope,
        year,
        city_id,
        list(correction_id) as ids
    from changed_corrections
    group by all
),

declarations as (
    select
        *,
        declared_by(joined.provider, joined.quantity, joined.scope, joined.year) as declared_by
    from joined
)

select
    declarations.*,
    coalesce(labels.label, declarations.series) as label,
    coalesce(if($language = 'zh', cities.name_zh, cities.name_en), '') as city,
    coalesce(usual.change, $usual_revision) as usual,
    coalesce(usual.revisions, 0) as revisions,
    corrections.ids as corrections,
    len(declarations.declared_by) > 0
    or read_again.city_id is not null
    or corrections.city_id is not null as is_declared,
    declarations.new_value is null
    or abs(declarations.new_value - declarations.old_value)
    > coalesce(usual.change, $usual_revision) * abs(declarations.old_value) + declarations.unit
        as is_unusual
from declarations
left join labels on declarations.series = labels.series and declarations.scope = labels.scope
left join old.marts.dim_city as cities on declarations.city_id = cities.city_id
left join read_again
    on
        declarations.quantity = read_again.quantity
        and declarations.provider = read_again.provider
        and declarations.city_id = read_again.city_id
        and declarations.year = read_again.year
left join usual
    on
        declarations.quantity = usual.quantity
        and declarations.provider = usual.provider
        and declarations.is_last = usual.is_last
left join corrections
    on
        declarations.quantity = corrections.quantity
        and declarations.provider = corrections.provider
        and declarations.scope = corrections.scope
        and declarations.city_id = corrections.city_id
        and declarations.year = corrections.year;

-- name: read_again
insert into read_again
with

delivered as (
    select
        series as quantity,
        provider,
        city_id,
        year,
        file_path,
        0 as when_delivered
    from built.marts.fct_delivered_values
    where
        valid_until_delivery is null
        and delivered_value is not null
        and year between $first and $last
    union all
    select
        series,
        provider,
        city_id,
        year,
        file_path,
        1
    from old.marts.fct_delivered_values
    where
        valid_until_delivery is null
        and delivered_value is not null
        and year between $first and $last
),

-- A value counts as read again if all files that contain the value are read again. For a lost value, all files that
-- contained the value before must be read again.
cells as (
    select
        quantity,
        provider,
        city_id,
        year,
        when_delivered,
        bool_and(list_contains($paths, file_path)) as is_again
    from delivered
    group by all
),

-- Values without delivered rows, such as register counts, count as read again if all files of the provider are.
whole_providers as (
    select provider
    from built.raw.deliveries
    where valid_until_delivery is null
    group by provider
    having bool_and(list_contains($paths, file_path))
)

select
    quantity,
    provider,
    city_id,
    year
from cells
group by all
having arg_min(is_again, when_delivered)
union all
select distinct
    quantity,
    provider,
    city_id,
    year
from old.release.series_values
where
    year between $first and $last
    and provider in (select provider from whole_providers)
    and (quantity, provider) not in (select (quantity, provider) from cells);

-- name: series_years
select
    series,
    scope,
    arg_max(provider, is_rewritten),
    any_value(label),
    any_value(quantity),
    year,
    count(*),
    count(*) filter (is_rewritten),
    count(*) filter (new_value is null),
    count(*) filter (is_rewritten and not is_declared),
    count(*) filter (is_unusual and not is_declared),
    coalesce(
        median(abs(new_value / old_value - 1))
        filter (is_rewritten and not is_declared and old_value <> 0),
        0
    ),
    max(usual),
    max(revisions)
from compared
group by series, scope, year
having bool_or(is_rewritten)
order by series, scope, year;

-- name: cells
select
    series,
    scope,
    city_id,
    city,
    year,
    old_value,
    new_value,
    is_declared,
    is_unusual
from compared
where is_rewritten
order by
    series asc, scope asc,
    case
        when new_value is null then 1
        when old_value = 0 then 'infinity'
        else abs(new_value - old_value) / abs(old_value)
    end desc,
    city_id, year asc;

-- name: city_years
select
    count(*),
    count(*) filter (
        has_undeclared and (new_count = 0 or (counted_before and not counted_now))
    )
from (
    select
        city_id,
        year,
        count(new_value) as new_count,
        -- Treat zeros as missing, because cities that some providers leave out of their files count as zero.
        bool_or(old_value <> 0) as counted_before,
        coalesce(bool_or(new_value <> 0), false) as counted_now,
        bool_or(is_rewritten and not is_declared) as has_undeclared
    from compared
    group by city_id, year
) as by_city_year;

-- name: lost_cities
with

histories as (
    select
        series,
        scope,
        city_id,
        any_value(city) as city,
        any_value(label) as label,
        any_value(provider) as provider,
        any_value(quantity) as quantity,
        min(year) as first_year,
        max(year) as last_year,
        count(*) filter (old_value <> 0) as years
    from compared
    group by series, scope, city_id
    having not coalesce(bool_or(new_value <> 0), false) and not bool_and(is_declared)
),

published as (
    select
        series,
        scope,
        count(distinct year) as years
    from compared
    group by series, scope
)

select
    histories.city_id,
    histories.city,
    histories.series,
    histories.scope,
    histories.provider,
    histories.label,
    histories.quantity,
    histories.first_year,
    histories.last_year
from histories
inner join published
    on
        histories.series = published.series
        and histories.scope = published.scope
        and histories.years = published.years
where histories.years >= $full_history
order by histories.city_id, histories.series, histories.scope;

-- name: provinces
with

moves as (
    select
        compared.*,
        compared.new_value / compared.old_value - 1 as change,
        -- The median over all cities approximates the median over the other provinces.
        median(compared.new_value / compared.old_value - 1) over (
            partition by compared.series, compared.scope, compared.year
        ) as change_of_all,
        -- Allow a change of one unit in the last printed digit, which may be due to rounding.
        compared.usual + compared.unit / abs(compared.old_value) as allowed,
        if($language = 'zh', cities.province_name_zh, cities.province_name_en) as province
    from compared
    inner join old.marts.dim_city as cities on compared.city_id = cities.city_id
    where
        not compared.is_declared
        and compared.new_value is not null
        and compared.old_value <> 0
),

alone as (
    select
        series,
        scope,
        year,
        province,
        any_value(provider) as provider,
        any_value(label) as label,
        any_value(quantity) as quantity,
        count(*) filter (is_rewritten) as cities,
        median(change) as change,
        any_value(change_of_all) as change_of_all,
        max(usual) as usual
    from moves
    group by series, scope, year, province
    having abs(median(change) - any_value(change_of_all)) > median(allowed)
)

select
    series,
    scope,
    any_value(provider),
    any_value(label),
    any_value(quantity),
    province,
    list(year order by year),
    cast(sum(cities) as integer),
    median(change),
    median(change_of_all),
    max(usual)
from alone
group by series, scope, province
having sum(cities) >= $least_values
order by series asc, scope asc, abs(median(change) - median(change_of_all)) desc, province;

-- name: corrections
select distinct concat('correction ', ids.correction_id, ': ', changed.reason)
from (
    select unnest(corrections) as correction_id from compared
    where is_rewritten
) as ids
inner join changed_corrections as changed on ids.correction_id = changed.correction_id
order by all;

-- name: explained
select used.specification_id
from old.marts.dim_specification_series as used
inner join compared on used.series = compared.series and used.scope = compared.scope
where compared.is_rewritten
group by used.specification_id
having bool_and(compared.is_declared);

-- name: declarations
select distinct unnest(declared_by) as number
from compared
where is_rewritten
order by number;
