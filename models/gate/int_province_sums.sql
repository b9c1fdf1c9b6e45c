with

conformed as (
    select * from {{ ref('int_series_conformed') }}
    where
        series = quantity
        and value > 0
),

cities as (
    select * from {{ ref('cities') }}
),

-- Number of prefectures per province. County-level units that a province administers directly are excluded, because
-- city yearbooks do not list them.
prefectures as (
    select
        province_id,
        any_value(province_name_zh) as province_name_zh,
        any_value(province_name_en) as province_name_en,
        count(*) as prefecture_count
    from cities
    where unit_kind <> 'county_level'
    group by province_id
),

years as (
    select
        series,
        count(distinct year) as year_count
    from conformed
    group by series
),

-- Cities with a value in every year. Only these cities are summed, so that cities entering or leaving the data do not
-- change the sum.
steady as (
    select
        conformed.series,
        conformed.city_id
    from conformed
    inner join years using (series)
    group by conformed.series, conformed.city_id, years.year_count
    having count(*) = years.year_count
),

summed as (
    select
        conformed.series,
        conformed.provider,
        cities.province_id,
        conformed.year,
        sum(conformed.value order by conformed.city_id) as city_sum,
        any_value(totals.value) as province_total,
        count(*) as city_count
    from conformed
    inner join steady using (series, city_id)
    inner join cities using (city_id)
    inner join conformed as totals
        on
            'province_' || conformed.series = totals.series
            and conformed.city_id = totals.city_id
            and conformed.year = totals.year
    where cities.unit_kind <> 'county_level'
    group by conformed.series, conformed.provider, cities.province_id, conformed.year
),

-- Compare the sum of the cities with the province's total. The cities must cover at least three quarters of the
-- prefectures, because a smaller sum says little about the province.
compared as (
    select
        summed.*,
        prefectures.province_name_zh,
        prefectures.province_name_en,
        summed.city_sum / summed.province_total as ratio
    from summed
    inner join prefectures
        on
            summed.province_id = prefectures.province_id
            and summed.city_count >= 0.75 * prefectures.prefecture_count
),

changed as (
    select
        *,
        case when lag(year) over provinces = year - 1 then ln(ratio / lag(ratio) over provinces) end as ratio_change
    from compared
    window provinces as (partition by series, province_id order by year)
),

typical as (
    select
        *,
        case when count(ratio_change) over provinces >= 5 then median(ratio_change) over provinces end as typical_change
    from changed
    window provinces as (partition by series, province_id)
),

final as (
    select
        series,
        provider,
        province_id,
        province_name_zh,
        province_name_en,
        year,
        city_count,
        ratio,
        ratio_change,
        exp(abs(ln(ratio) - median(ln(ratio)) over provinces)) as factor_off,
        typical_change,
        abs(typical_change) > {{ var('drift_of_a_province') }} as is_drifting,
        count(distinct case when abs(typical_change) > {{ var('drift_of_a_province') }} then province_id end)
            over (partition by series) as drifting_count
    from typical
    window provinces as (partition by series, province_id)
)

select * from final
