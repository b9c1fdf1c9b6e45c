{{ printed_table('table_5', column_count=3) }}
