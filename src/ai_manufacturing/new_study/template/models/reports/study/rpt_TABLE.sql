{{ printed_table('<< table.name >>', << table.columns | length >>) }}
