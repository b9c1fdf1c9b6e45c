-- Check the rules of all seeds upstream of gate_results. A broken rule stops the gate, so that no estimates are
-- computed.
{{ rules_of_seeds(
    [
        'ai_keywords', 'cities', 'city_aliases', 'city_changes', 'city_groupings', 'control_sets', 'corrections',
        'derived_variables', 'expected_coverage', 'found_slips', 'industries', 'ipc_industries', 'measure_weightings',
        'nace_sections', 'name_additions', 'non_prefectures', 'reasons', 'regression_specifications', 'required_cities', 'series',
        'series_events', 'series_pairs', 'series_sources', 'substituted_labels', 'substitutions', 'value_checks',
    ],
    others=['dim_variable', 'industry_scopes', 'published_facts']
) }}
