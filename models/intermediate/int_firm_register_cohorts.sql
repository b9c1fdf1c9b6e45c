{{ kept_by_file('firm_register') }}

{{ register_cohorts('firm_register') }}
