{{ kept_by_file('firm_register') }}

{{ repeated_rows('firm_register') }}
