{{ printed_table('table_4', column_count=4) }}
