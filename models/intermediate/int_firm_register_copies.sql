{{ register_copies('firm_register') }}
