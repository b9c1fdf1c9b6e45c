{# `dbt run` loads no seeds, so that in a new file it would end in an error of each model that reads one. #}
{% macro refuse_run_without_seeds() -%}
    {%- if execute and flags.WHICH == 'run' -%}
        {%- set absent = {} -%}
        {%- for id in selected_resources if id in graph.nodes -%}
            {%- for parent in graph.nodes[id].depends_on.nodes
                if parent.startswith('seed.') and parent not in absent and not relation_to_read(parent)
            -%}
                {%- do absent.update({parent: true}) -%}
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
