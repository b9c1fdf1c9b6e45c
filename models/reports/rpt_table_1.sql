{{ printed_table('table_1', column_count=3) }}
