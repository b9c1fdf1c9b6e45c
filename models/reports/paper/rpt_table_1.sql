{{ printed_table('table_1', 3) }}
