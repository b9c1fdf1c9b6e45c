{#
On-run-start hook: raise if a selected model needs documented columns, for its contract or because it is a Python model,
and has no property file. The errors of dbt ('columns' is missing) and Python (a KeyError) would not name the file.
#}
{% macro require_properties() -%}
    {%- for node in (graph.nodes.values() if execute else []) if node.resource_type == 'model' and not node.columns
        and node.unique_id in selected_resources and (node.config.contract.enforced or node.language == 'python') -%}
        {{ exceptions.raise_compiler_error(
            node.original_file_path ~ ': no property file in this folder describes the columns of ' ~ node.name
            ~ '. Describe them as docs/how_to/add_a_table.md explains.'
        ) }}
    {%- endfor -%}
{%- endmacro %}
