{#- Replace the names in braces by their values in a map; names without a value remain. -#}
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

{#-
Join the sentences of a text, separated by bars, and drop those that still contain a name in braces; null if none
remains.
-#}
{%- macro complete_sentences(text) -%}
nullif(
    replace(replace(trim(regexp_replace({{ text }}, '(^|[|])[^|]*[{][^|]*', '', 'g'), '| '), ' | ', ' '), '。 ', '。'),
    ''
)
{%- endmacro -%}
