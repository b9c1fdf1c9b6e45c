with

shown_series as (
    select * from {{ ref('int_shown_series') }}
),

-- The limits were calibrated on the years of the default specifications, so pairs of series are checked from the first
-- of these years on.
judged_years as (
    select
        min(first_year) as first_year,
        1 + max(last_year) - min(first_year) as year_count
    from {{ ref('regression_specifications') }}
    where reading = 'default'
),

conformed as (
    select * from {{ ref('int_series_conformed') }}
    where
        series = quantity
        and value > 0
),

feeding as (
    select distinct
        series,
        scope,
        provider
    from conformed
    where not is_spliced
),

-- Limits for the ratio of each pair of series. Limits for the provider of the first series override the general limits.
pairs as (
    select limits.*
    from {{ ref('series_pairs') }} as limits
    inner join feeding
        on
            limits.series = feeding.series
            and limits.scope = feeding.scope
            and (limits.provider = feeding.provider or limits.provider is null)
    qualify
        row_number() over (
            partition by limits.series, limits.scope, limits.other_series, limits.other_scope
            order by limits.provider is null
        ) = 1
),

cities as (
    select * from {{ ref('cities') }}
),

matched as (
    select
        pairs.*,
        firsts.city_id,
        firsts.year,
        firsts.value,
        seconds.value as other_value,
        ln(firsts.value / seconds.value) as log_ratio
    from pairs
    cross join judged_years
    inner join conformed as firsts
        on
            pairs.series = firsts.series
            and pairs.scope = firsts.scope
            and judged_years.first_year <= firsts.year
    inner join conformed as seconds
        on
            pairs.other_series = seconds.series
            and pairs.other_scope = seconds.scope
            and firsts.city_id = seconds.city_id
            and firsts.year = seconds.year
),

ranked as (
    select
        matched.*,
        cities.name_zh,
        median(matched.log_ratio) over pair_years as median_log_ratio,
        rank() over (pair_years order by matched.value) as value_rank,
        rank() over (pair_years order by matched.other_value) as other_rank
    from matched
    inner join cities using (city_id)
    window pair_years as (
        partition by matched.series, matched.scope, matched.other_series, matched.other_scope, matched.year
    )
),

summed as (
    select
        series,
        other_series,
        scope,
        other_scope,
        year,
        corr(value_rank, other_rank order by city_id) as rank_correlation,
        sum(value order by city_id) / sum(other_value order by city_id) as national_ratio,
        exp(median(abs(log_ratio - median_log_ratio))) as ratio_spread,
        avg(case when value > other_value then 1 else 0 end) as larger_share,
        any_value(median_log_ratio) as median_log_ratio,
        {{ first_of(
            "name_zh || ' ' || round(value, 2) || ' : ' || round(other_value, 2)", 'city_id',
            'abs(log_ratio - median_log_ratio) > ln(city_factor_max)'
        ) }} as odd_cities
    from ranked
    group by series, other_series, scope, other_scope, year
    having count(*) >= 20
),

-- Change of the median ratio since the previous year, as a factor of at least one, and its log-linear trend up to each
-- year.
compared as (
    select
        *,
        case
            when lag(year) over pair_years = year - 1
                then exp(abs(median_log_ratio - lag(median_log_ratio) over pair_years))
        end as ratio_change,
        case
            when count(*) over pair_years_so_far >= 7
                then regr_slope(median_log_ratio, year) over pair_years_so_far
        end as ratio_trend,
        count(*) over pair_years_so_far as trend_year_count
    from summed
    window
        pair_years as (partition by series, scope, other_series, other_scope order by year),
        pair_years_so_far as (pair_years rows between unbounded preceding and current row)
),

final as (
    select
        compared.* exclude (median_log_ratio),  -- noqa: RF02
        coalesce(shown.series, others_shown.series) is not null as is_shown,
        -- A study period that begins after the calibration years covers a shorter trend, which varies more, so the
        -- limits are widened.
        case
            when
                abs(2 * compared.ratio_trend - pairs.ratio_trend_min - pairs.ratio_trend_max)
                > (pairs.ratio_trend_max - pairs.ratio_trend_min)
                * case
                    when {{ period('first_year') }} > judged_years.first_year
                        then power(greatest(1, judged_years.year_count / compared.trend_year_count), 2)
                    else 1
                end
                then compared.ratio_trend
        end as odd_ratio_trend,
        {%- for figure in ['national_ratio', 'larger_share'] %}
        case
            when compared.{{ figure }} < pairs.{{ figure }}_min or compared.{{ figure }} > pairs.{{ figure }}_max
                then compared.{{ figure }}
        end as odd_{{ figure }},
        {%- endfor %}
        pairs.rank_correlation_min,
        pairs.ratio_spread_max,
        pairs.ratio_change_max
    from compared
    inner join pairs using (series, other_series, scope, other_scope)
    cross join judged_years
    left join shown_series as shown using (series, scope)
    left join shown_series as others_shown
        on
            compared.other_series = others_shown.series
            and compared.other_scope = others_shown.scope
)

select * from final
