-- name: agreement
select * from reports.rpt_source_agreement
order by
    series, scope, first_provider, second_provider, grouping, group_name, year;

-- name: reliability
select * from reports.rpt_measure_reliability
where year is null
order by
    measure, scope, first_provider, second_provider, transform,
    grouping <> 'all', grouping, group_name;

-- name: sets
select
    class_set,
    text_count,
    class_text_count,
    tagged_text_count,
    precision_share,
    recall_share
from marts.fct_ai_dictionary_evaluation
where class_set is not null
order by class_set;

-- name: zeros
select
    p.observation_count as count,
    p.observation_count - coalesce(l.overlap_observation_count, p.observation_count)
        as lost
from reports.rpt_coefficients as p
inner join reports.rpt_coefficients as l on p.term = l.term
where
    p.specification_id = 'table_1_col_1'
    and p.term = p.regressor
    and l.specification_id = 'table_1_col_1_ln'
    and l.observation_count is not null;

-- name: registers
select
    corpus,
    entry_year,
    text_count,
    tagged_text_count,
    tagged_share
from marts.fct_ai_dictionary_evaluation
where class_set is null
order by corpus, entry_year;

-- name: terms
select
    corpus,
    term,
    is_used,
    searched_in,
    reason,
    cast(sum(matched_text_count) as bigint) as text_count,
    cast(sum(sole_text_count) as bigint) as sole_text_count,
    any_value(core_share) as core_share,
    any_value(narrow_share) as narrow_share,
    any_value(wide_share) as wide_share,
    any_value(example_ids) as example_ids
from marts.fct_ai_term_evaluation
group by corpus, term, is_used, searched_in, reason
order by corpus desc, text_count desc, term asc;
