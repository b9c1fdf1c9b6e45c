-- depends_on: {{ source('delivered', 'ciciliujx') }}
with

raw as (
    select * from {{ ref('raw_city_yearbook') }}
    where origin.provider = 'ciciliujx'
),

renamed as (
    select
        origin,
        coalesce(city_code, city) as city_code,
        city_cn as city_name,
        year,
        city_invest * city_edu / 100 as education_spending_100m_cny,
        city_invest * city_tech / 100 as science_spending_100m_cny,
        robot_install as robot_installation_density,
        robot_stock as robot_stock_density
    from raw
)

select * from renamed
