-- depends_on: {{ source('delivered', 'csmar') }}
with

raw as (
    select * from {{ ref('raw_city_yearbook') }}
    where origin.provider = 'csmar'
),

renamed as (
    select
        origin,
        "Ctnm_id" as city_code,
        "Ctnm_en" as city_name,
        cast(null as varchar) as province_name,
        "Sgnyea" as year,
        "Gdpct01" as gdp_100m_cny,
        "GDP_PrimInd" / 10000 as primary_value_added_100m_cny,
        "GDP_SecInd" / 10000 as secondary_value_added_100m_cny,
        "GDP_TerInd" / 10000 as tertiary_value_added_100m_cny,
        "GDP_PerCapita" as gdp_per_capita_cny,
        "Eect01" as registered_population_10k,
        "Eect05" as unit_employment_10k,
        "Eect05" * "Eect09" / 100 as secondary_employment_10k
    from raw
)

select * from renamed
