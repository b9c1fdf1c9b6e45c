{#
Before a run: a model whose contract, or whose Python, asks for columns has a property file. dbt would say only that
'columns' is missing, and Python that a key is.
#}
{% macro require_properties() -%}
    {%- for node in (graph.nodes.values() if execute else []) if node.resource_type == 'model' and not node.columns
        and node.unique_id in selected_resources and (node.config.contract.enforced or node.language == 'python') -%}
        {{ exceptions.raise_compiler_error(
            node.original_file_path ~ ': no property file beside it names the columns of ' ~ node.name
            ~ '. Describe them as in docs/how_to/add_a_table.md.'
        ) }}
    {%- endfor -%}
{%- endmacro %}
