{# On-run-end hook: log failed tests and expectations with their rows, and whether the input is synthetic. #}
{% macro report_run(results) -%}
    {%- if execute and flags.WHICH in ('build', 'run', 'test') -%}
        {%- for result in results if result.status == 'fail' and not result.node.name.startswith('no_critical_failure') -%}
            {%- for row in run_query('select * from (' ~ result.node.compiled_code ~ ') as failing limit 20').rows -%}
                {%- do log(result.node.name ~ ' failed: ' ~ row_in_words(row), info=True) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- set failed = "select left(concat('gate ', severity, ': ', suite, ': ', description, ' ', "
            ~ 'coalesce(failing_rows, observed_value)), 400) from {} where not success '
            ~ "order by severity, suite <> '" ~ var('suite_of_causes') ~ "', suite, description" -%}
        {%- set kinds = "select distinct concat('Extract set ', extract_set, case extract_set_kind when 'synthetic' then "
            ~ "' is SYNTHETIC: its numbers are not real. Recovering the printed ones shows that the pipeline works, not "
            ~ "that the paper is right.' else ' contains delivered files.' end) from {}" -%}
        {%- for name, query in (('gate_results', failed), ('gate_second_route', failed), ('raw_deliveries', kinds)) -%}
            {%- set relation = relation_of(name) -%}
            {%- for line in (column_of(query.format(relation)) if relation else []) -%}{%- do log(line, info=True) -%}{%- endfor -%}
        {%- endfor -%}
        {%- if var('as_of_delivery', none) is not none -%}
            {%- do log('This build uses the files as they were after delivery ' ~ var('as_of_delivery') ~ '.', info=True) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
