{#- A text with names in braces replaced by their values in a map, such as {'p': '0.05'}; a name without a value stays. -#}
{%- macro replaced(text, values, names) -%}
{%- set found = namespace(sql=text) -%}
{%- for name in names -%}
{%- set found.sql = "replace(" ~ found.sql ~ ", '{" ~ name ~ "}', coalesce(" ~ values ~ "['" ~ name ~ "'], '{" ~ name ~ "}'))" -%}
{%- endfor -%}
{{ found.sql }}
{%- endmacro -%}

{#- The sentences of a text, which a bar parts, without those that still have a name in braces; null if none is left. -#}
{%- macro complete_sentences(text) -%}
nullif(
    replace(replace(trim(regexp_replace({{ text }}, '(^|[|])[^|]*[{][^|]*', '', 'g'), '| '), ' | ', ' '), '。 ', '。'),
    ''
)
{%- endmacro -%}
