{#- Format a p-value for a sentence: "= 0.126", or "< 0.001" if it would round to zero. -#}
{%- macro p_text(p) -%}
case when {{ p }} < 0.0005 then '< 0.001' else '= ' || printf('%.3f', {{ p }}) end
{%- endmacro -%}
