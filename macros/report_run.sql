{#
Failing rows of an expectation in words, the first few: `failing_rows` of gate_results is a JSON list of objects, the
value at fault first and then what identifies the row.
#}
{% macro failing_rows_in_words(failing_rows, shown=5) -%}
    {%- set rows, words = fromjson(failing_rows or '[]', []), [] -%}
    {%- for row in rows[:shown] -%}
        {%- set facts = [] -%}
        {%- for name, value in row.items() if value is not none -%}
            {%- set number = value | int if value is float and value == value | int else value -%}
            {%- do facts.append(name ~ ' ' ~ (number | round(6) if number is float else number)) -%}
        {%- endfor -%}
        {%- do words.append(facts | join(', ')) -%}
    {%- endfor -%}
    {%- if rows | length > shown -%} {%- do words.append((rows | length - shown) ~ ' more') -%} {%- endif -%}
    {{ return(words | join('; ')) }}
{%- endmacro %}

{# What a gate found, as a line; a warning has 300 characters at most, as those of a refresh. #}
{% macro failure_in_words(table, severity, suite, description, observed, failing_rows) -%}
    {%- set rows = failing_rows_in_words(failing_rows) or ('Observed: ' ~ observed if observed else '') -%}
    {%- set line = ('gate ' ~ severity ~ ': ' ~ suite ~ ': ' ~ description ~ ' ' ~ rows).strip(' .') -%}
    {%- set rest = '… The whole is in gates.' ~ table -%}
    {%- if severity == 'warning' and line | length >= 300 -%} {%- set line = line[:299 - rest | length] ~ rest -%} {%- endif -%}
    {{ return(line ~ '.') }}
{%- endmacro %}

{# The first rows that a failed data test returned; a gate's are said by its suite. #}
{% macro report_failed_test(result) -%}
    {%- for row in run_query('select * from (' ~ result.node.compiled_code ~ ') as failing limit 20').rows -%}
        {%- do log(result.node.name ~ ' fails: ' ~ row_in_words(row), info=True) -%}
    {%- endfor -%}
{%- endmacro %}

{# At the end of a run: which tests and expectations failed and on which rows, and whether the input is synthetic. #}
{% macro report_run(results) -%}
    {%- if execute and flags.WHICH in ('build', 'test') -%}
        {%- for result in results if result.status == 'fail' and not result.node.name.startswith('no_critical_failure') -%}
            {%- do report_failed_test(result) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {%- for table in ('gate_results', 'gate_second_route') -%}
            {%- set results = relation_of('model.ai_manufacturing.' ~ table) -%}
            {%- set failed = run_query(
                'select severity, suite, description, observed_value, failing_rows from ' ~ results
                ~ ' where not success order by severity, suite, description'
            ).rows if results else [] -%}
            {%- for row in failed -%} {%- do log(failure_in_words(table, *row), info=True) -%} {%- endfor -%}
        {%- endfor -%}
        {%- set deliveries = relation_of('model.ai_manufacturing.raw_deliveries') -%}
        {%- if deliveries -%}
            {%- set sets = run_query('select distinct extract_set, extract_set_kind from ' ~ deliveries) -%}
            {%- for row in sets.rows -%}
                {%- if row[1] == 'synthetic' -%}
                    {%- do log(
                        'Extract set ' ~ row[0] ~ ' is SYNTHETIC: its numbers are not real. Recovering the printed '
                        ~ 'ones shows that the pipeline works, not that the paper is right.', info=True
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
