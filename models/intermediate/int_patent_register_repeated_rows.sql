{{ kept_by_file('patent_register') }}

{{ repeated_rows('patent_register') }}
