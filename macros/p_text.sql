{#- A p-value as it stands in a sentence, with its sign: "= 0.126", or "< 0.001" where it would print as zero. -#}
{%- macro p_text(p) -%}
case when {{ p }} < 0.0005 then '< 0.001' else '= ' || printf('%.3f', {{ p }}) end
{%- endmacro -%}
