-- depends_on: {{ source('delivered', 'csmar') }}
with

raw as (
    select * from {{ ref('raw_city_yearbook') }}
    where origin.provider = 'csmar'
),

renamed as (
    select
        origin,
        -- Consumer prices are delivered by province and have no city code.
        coalesce("Ctnm_id", 'province:' || "省份编码/没有单位") as city_code,
        "Ctnm_en" as city_name,
        coalesce("Sgnyea", "年度标识/没有单位") as year,
        "Gdpct01" as gdp_100m_cny,
        "GDP_PrimInd" / 10000 as primary_value_added_100m_cny,
        "GDP_SecInd" / 10000 as secondary_value_added_100m_cny,
        "GDP_TerInd" / 10000 as tertiary_value_added_100m_cny,
        "GDP_PerCapita" as gdp_per_capita_cny,
        "Eect01" as registered_population_10k,
        "Eect05" as unit_employment_10k,
        "Eect05" * "Eect09" / 100 as secondary_employment_10k,
        -- Chain the consumer price index (previous year = 100) to a level relative to 2010. Each file is chained
        -- separately, from its first year to the first gap.
        case
            when
                count(case when "年度标识/没有单位" = 2010 then "居民消费价格指数(上年＝100)/没有单位" end) over province = 1
                and count("居民消费价格指数(上年＝100)/没有单位") over to_year
                = "年度标识/没有单位" - min("年度标识/没有单位") over province + 1
                then exp(
                    sum(ln("居民消费价格指数(上年＝100)/没有单位" / 100)) over to_year
                    - sum(
                        case
                            when "年度标识/没有单位" <= 2010 then ln("居民消费价格指数(上年＝100)/没有单位" / 100)
                        end
                    ) over province
                )
        end as consumer_price_level
    from raw
    window
        province as (partition by origin.delivery_number, "省份编码/没有单位"),
        to_year as (
            partition by origin.delivery_number, "省份编码/没有单位"
            order by "年度标识/没有单位"
            range between unbounded preceding and current row
        )
)

select * from renamed
