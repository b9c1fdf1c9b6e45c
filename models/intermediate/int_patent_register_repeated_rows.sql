{{ kept_with_older_files('patent_register') }}

{{ repeated_rows('patent_register') }}
