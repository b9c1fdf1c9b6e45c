-- name: dictionary
with

files as (
    select
        unnest(range(len($files))) as file_number,
        unnest($files) as file,
        unnest($tables) as table_name
),

columns as (
    select
        f.file_number,
        f.file,
        d.*
    from marts.data_dictionary as d
    inner join files as f using (table_name)
    union all by name
    select
        file_number,
        file,
        'is_synthetic' as column_name,
        'boolean' as data_type,
        'Whether the numbers are synthetic' as label_en,
        '数值是否为合成' as label_zh,
        'Whether the numbers are synthetic.' as description_en,
        '数值是否为合成' as description_zh,
        'extract_set.yml' as source,
        0 as missing_share,
        (select any_value(extract_set) from marts.data_dictionary) as extract_set
    from files
)

select
    file,
    column_name,
    left(column_name, $stata_length) as stata_name,
    data_type,
    unit,
    label_en,
    label_zh,
    substitution,
    description_en,
    description_zh,
    source,
    provenance_class,
    publisher,
    republished_by,
    licence,
    restricted_providers,
    restricted_licences,
    is_interpolated,
    citation_en,
    citation_zh,
    source_links,
    first_year,
    last_year,
    missing_share,
    extract_set,
    $synthetic as is_synthetic
from columns
order by file_number, column_number nulls last;

-- name: restricted_columns
select
    column_name,
    restricted_licences as licences,
    string_split(restricted_providers, '; ') as providers
from marts.data_dictionary
where
    concat(table_schema, '.', table_name) = $panel
    and restricted_providers is not null
    and not list_contains($blank, column_name)
order by column_number;
