{{ kept_by_file('firm_register') }}

{{ repeated_ids('firm_register') }}
