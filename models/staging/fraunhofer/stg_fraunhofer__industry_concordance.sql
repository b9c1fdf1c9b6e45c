-- depends_on: {{ source('delivered', 'fraunhofer') }}
with

raw as (
    select * from {{ ref('raw_industry_concordance') }}
    where origin.provider = 'fraunhofer'
),

renamed as (
    select
        origin,
        lpad(cast("NACE" as varchar), 2, '0') as nace_division,
        ipc_class,
        probability
    from raw
    unpivot (probability for ipc_class in (columns(* exclude (origin, "NACE"))))
)

select * from renamed
