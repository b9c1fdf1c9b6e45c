{{ kept_by_file('patent_register') }}

{{ repeated_ids('patent_register') }}
