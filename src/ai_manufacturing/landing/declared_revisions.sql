-- name: declared
create temp table declared (
    -- Zero-based position of the revision in the order of declaration.
    number integer,
    provider varchar,
    series varchar,
    scope varchar,
    first_year integer,
    last_year integer
);

-- name: declared_by
create temp macro declared_by(its_provider, its_quantity, its_scope, its_year) as (
    select coalesce(list(declared.number), [])
    from declared
    where
        declared.provider in (its_provider, '*')
        and declared.series in (its_quantity, '*')
        and declared.scope in (its_scope, '*')
        and its_year between declared.first_year and declared.last_year
);
