{# At the end of a run: which expectations failed and on which rows, and whether the input is invented. #}
{% macro report_run(results) -%}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {%- set gate_results = adapter.get_relation(target.database, 'gates', 'gate_results') -%}
        {%- if gate_results -%}
            {%- set failed = run_query(
                'select severity, suite, description, observed_value, left(failing_rows, 1200) as failing_rows from ' ~ gate_results
                ~ ' where not success order by severity, suite, description'
            ) -%}
            {%- for row in failed.rows -%}
                {%- do log(
                    'gate ' ~ row[0] ~ ': ' ~ row[1] ~ ': ' ~ row[2] ~ ' Observed ' ~ row[3]
                    ~ ('. Rows: ' ~ row[4] if row[4] else ''), info=True
                ) -%}
            {%- endfor -%}
        {%- endif -%}
        {%- set deliveries = adapter.get_relation(target.database, 'raw', 'deliveries') -%}
        {%- if deliveries -%}
            {%- set sets = run_query('select distinct extract_set, extract_set_kind from ' ~ deliveries) -%}
            {%- for row in sets.rows -%}
                {%- if row[1] == 'synthetic' -%}
                    {%- do log(
                        'Extract set ' ~ row[0] ~ ' is SYNTHETIC: its numbers are invented. Recovering the printed ones '
                        ~ 'shows that the pipeline works, not that the paper is right.', info=True
                    ) -%}
                {%- else -%}
                    {%- do log('Extract set ' ~ row[0] ~ ': delivered files.', info=True) -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endif -%}
        {%- if var('as_of_delivery', none) is not none -%}
            {%- do log('As it was after delivery ' ~ var('as_of_delivery') ~ '.', info=True) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
