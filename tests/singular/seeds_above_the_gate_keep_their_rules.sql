-- All tables that this test reads are upstream of gate_results, so that a broken rule stops the gate and the estimates.
{{ rules_of_seeds(
    [
        'ai_keywords', 'cities', 'city_aliases', 'city_changes', 'city_groupings', 'control_sets', 'corrections',
        'derived_variables', 'found_slips', 'industries', 'ipc_industries', 'measure_weightings', 'nace_sections', 'name_additions', 'non_prefectures',
        'reasons', 'regression_specifications', 'series', 'series_events', 'series_pairs', 'series_sources', 'substituted_labels',
        'substitutions', 'value_checks',
    ],
    others=['dim_variable', 'industry_scopes']
) }}
