with

final as (
    {{ register_files('firm_register', ref('raw_deliveries')) }}
    union all
    {{ register_files('patent_register', ref('raw_deliveries')) }}
)

select * from final
