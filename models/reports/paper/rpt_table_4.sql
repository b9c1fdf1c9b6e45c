{{ printed_table('table_4', 4) }}
