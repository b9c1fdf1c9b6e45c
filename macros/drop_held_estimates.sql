{# On-run-end hook: drop all estimates and reports, earlier ones too, if the gate has a critical failure. #}
{% macro drop_held_estimates() -%}
    {%- set is_accepted = env_var('ACCEPTED_GATE_FAILURES', '') -%}
    {%- if execute and target.type == 'duckdb' and flags.WHICH in ('build', 'run') and not is_accepted -%}
        {%- for gate in ('gate_results', 'gate_second_route') -%}
            {%- set results = relation_of(gate) -%}
            {%- if results and column_of("select 1 from " ~ results ~ " where severity = 'critical' and not success") -%}
                {%- for name in ('est_coefficients', 'rpt_coefficients') -%}
                    {%- set schema = graph.nodes['model.ai_manufacturing.' ~ name].schema -%}
                    {%- do run_query('drop schema if exists ' ~ adapter.quote(target.database) ~ '.' ~ schema ~ ' cascade') -%}
                {%- endfor -%}
                {%- do exceptions.warn('The gate failed, so all estimates and reports were dropped. See ' ~ results ~ '.') -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}

{# Return the relation of a model, or none if it does not exist. #}
{% macro relation_of(name) -%}
    {%- set node = graph.nodes['model.ai_manufacturing.' ~ name] -%}
    {{ return(adapter.get_relation(node.database, node.schema, node.alias)) }}
{%- endmacro %}
