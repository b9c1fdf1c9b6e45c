-- depends_on: {{ source('delivered', 'lxingy3') }}
with

raw as (
    select * from {{ ref('raw_patent_titles') }}
    where origin.provider = 'lxingy3'
),

renamed as (
    select
        origin,
        publication_numbers as publication_number,
        patent_title as title,
        string_split(true_subclasses_all, '|') as ipc_subclasses
    from raw
)

select * from renamed
