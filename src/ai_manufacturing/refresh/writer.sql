-- name: relations
select
    table_schema,
    table_name
from information_schema.tables
where
    table_catalog = 'built'
    and (
        list_contains($schemas, table_schema)
        or list_has_any($inputs, [table_schema || '.*', table_schema || '.' || table_name])
    )
order by all;

-- name: freshness
create table new.release.freshness as
select
    provider,
    max(landed_at) as newest_delivery_at
from built.raw.deliveries
where
    provider is not null
    and copy_of_delivery is null
group by provider
order by provider;

-- name: history
create table new.release.history as
select
    this.*,
    coefficients.specification_id,
    coefficients.estimate,
    coefficients.std_error_province,
    coefficients.std_error,
    coefficients.substitutions,
    concat_ws('; ', claims.association_en, claims.ai_en) as verdict_en,
    concat_ws('；', claims.association_zh, claims.ai_zh) as verdict_zh
from (values ($release_id, $published_at, $git_commit, $fingerprint))
    as this (release_id, published_at, git_commit, fingerprint)
left join new.reports.rpt_coefficients as coefficients
    on
        coefficients.specification_id in (select specification_id from new.reports.rpt_findings)
        and coefficients.term_order = 1
left join new.reports.rpt_claims as claims on coefficients.specification_id = claims.specification_id;
