{{ printed_table('table_5', 3) }}
