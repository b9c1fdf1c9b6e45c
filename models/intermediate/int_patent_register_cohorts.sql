{{ kept_by_file('patent_register') }}

{{ register_cohorts('patent_register') }}
