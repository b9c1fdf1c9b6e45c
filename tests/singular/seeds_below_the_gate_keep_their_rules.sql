-- Check the rules of the seeds that only estimates and reports read. A broken rule fails the build.
{{ rules_of_seeds(
    [
        'ai_ipc_classes', 'check_power', 'claim_designs', 'curve_axes', 'curve_exclusions', 'finding_sentences', 'inference_checks', 'labels',
        'paper_remarks', 'printed_lines', 'published_estimates', 'published_numbers', 'ranked_variables', 'remark_figures', 'spatial_classes',
        'verdict_rules', 'verdicts',
    ],
    others=['measure_weightings', 'published_facts', 'regression_specifications', 'series']
) }}
