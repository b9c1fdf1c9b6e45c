{#
`dbt run` loads no seeds, so that in a new file it would end in an error of each model that reads one. What an ephemeral
model reads, its readers read.
#}
{% macro refuse_run_without_seeds() -%}
    {%- if execute and flags.WHICH == 'run' -%}
        {%- set absent, reading = {}, selected_resources | select('in', graph.nodes) | list -%}
        {%- for id in reading -%}
            {%- for parent in graph.nodes[id].depends_on.nodes if parent in graph.nodes -%}
                {%- if is_ephemeral(parent) and parent not in reading -%}
                    {%- do reading.append(parent) -%}
                {%- elif parent.startswith('seed.') and parent not in absent and not relation_to_read(parent) -%}
                    {%- do absent.update({parent: true}) -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- if absent -%}
            {{ exceptions.raise_compiler_error(
                'dbt run loads no seeds, and the selection reads ' ~ names_of(absent | list) ~ '. Nothing was changed. Run '
                ~ 'dbt seed first, or dbt build.'
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
