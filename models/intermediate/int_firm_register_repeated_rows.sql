{{ kept_with_older_files('firm_register') }}

{{ repeated_rows('firm_register') }}
