{#- A text with the names in braces replaced by their values in a map; a name without a value stays. -#}
{%- macro replaced(text, values) -%}
array_to_string(
    list_transform(
        string_split({{ text }}, '{'),
        lambda part: if(
            contains(part, '}'),
            coalesce({{ values }}[split_part(part, '}', 1)], '{' || split_part(part, '}', 1) || '}')
            || substr(part, strpos(part, '}') + 1),
            part
        )
    ),
    ''
)
{%- endmacro -%}

{#- The sentences of a text, which a bar parts, without those that still have a name in braces; null if none is left. -#}
{%- macro complete_sentences(text) -%}
nullif(
    replace(replace(trim(regexp_replace({{ text }}, '(^|[|])[^|]*[{][^|]*', '', 'g'), '| '), ' | ', ' '), '。 ', '。'),
    ''
)
{%- endmacro -%}
