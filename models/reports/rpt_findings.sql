{#- In two steps, as one is too deep for the linter. -#}
{%- set first_names = ['estimate', 'printed', 'permuted', 'left', 'p', 'made', 'failed', 'p_city', 'p_province'] -%}
{%- set other_names = [
    'readings', 'same_sign', 'by_city', 'by_province', 'printed_columns', 'unjudged', 'no_data', 'cannot', 'mechanical',
    'reason'
] -%}
with

questions as (
    select * from {{ ref('finding_questions') }}
),

sentences as (
    select * from {{ ref('finding_sentences') }}
),

verdicts as (
    select * from {{ ref('rpt_verdicts') }}
),

-- The main claim of the paper.
headline as (
    select * from verdicts
    where
        table_id = 'table_1'
        and column_number = 1
),

checks as (
    select credibility.*
    from {{ ref('rpt_credibility') }} as credibility
    inner join headline on credibility.specification_id = headline.specification_id
),

judged as (
    select
        specification_id,
        max(figure) filter (where check_id = 'own_errors') as p_city,
        max(figure) filter (where check_id = 'province_jackknife') as p_province,
        max(figure) filter (where aspect = 'ai') as p,
        bool_and(passes) filter (where aspect = 'ai') as is_ai,
        count(case when aspect = 'robust' and figure is not null then 1 end) as made,
        count(case when aspect = 'robust' and not passes then 1 end) as failed,
        max(sentence) filter (where aspect = 'ai' and figure is null) as ai_reason,
        max(sentence_zh) filter (where aspect = 'ai' and figure is null) as ai_reason_zh,
        max(sentence) filter (where aspect = 'robust' and figure is null) as robust_reason,
        max(sentence_zh) filter (where aspect = 'robust' and figure is null) as robust_reason_zh
    from checks
    group by specification_id
),

-- Ordered, as sums of doubles depend on their order.
permuted as (
    select
        specification_id,
        avg(estimate order by permutation) as permuted
    from {{ ref('est_permuted_weights') }}
    group by specification_id
),

-- Any one axis counts every specification once.
curve as (
    select
        specification_id,
        sum(estimated_count) as readings,
        sum(estimated_count * same_sign_share order by value) / nullif(sum(estimated_count), 0) as same_sign,
        sum(estimated_count * significant_by_city_share order by value) / nullif(sum(estimated_count), 0) as by_city,
        sum(estimated_count * significant_by_province_share order by value)
        / nullif(sum(estimated_count), 0) as by_province
    from {{ ref('rpt_specification_axes') }}
    where
        axis = 'transform'
        and estimated_count > 0
    group by specification_id
),

counted as (
    select
        count(*) as printed_columns,
        count(case when verdict in ('no_data', 'cannot_be_judged', 'mechanical') then 1 end) as unjudged,
        count(case when verdict = 'no_data' then 1 end) as no_data,
        count(case when verdict = 'cannot_be_judged' then 1 end) as cannot,
        count(case when verdict = 'mechanical' then 1 end) as mechanical
    from verdicts
),

stated as (
    select
        headline.*,
        judged.p_city,
        judged.p_province,
        judged.p,
        judged.made,
        judged.failed,
        judged.ai_reason,
        judged.ai_reason_zh,
        judged.robust_reason,
        judged.robust_reason_zh,
        permuted.permuted,
        curve.readings,
        curve.same_sign,
        curve.by_city,
        curve.by_province,
        counted.*,
        case
            when judged.is_ai then 'yes'
            when not judged.is_ai and permuted.permuted is not null then 'no'
            else 'unknown'
        end as ai_state,
        case
            when judged.failed > 0 then 'no'
            when judged.made > 0 then 'yes'
            else 'unknown'
        end as robust_state,
        case when counted.unjudged > 0 then 'some' else 'none' end as unjudged_state
    from headline
    inner join judged on headline.specification_id = judged.specification_id
    left join permuted on headline.specification_id = permuted.specification_id
    left join curve on headline.specification_id = curve.specification_id
    cross join counted
),

-- The numbers as they stand in a sentence.
texts as (
    select
        *,
        map_from_entries([
            ('estimate', format('{:.3f}', estimate)),
            ('printed', format('{:.3f}', printed_value)),
            ('permuted', format('{:.3f}', permuted)),
            ('left', format('{:.0f} %', 100 * permuted / nullif(estimate, 0))),
            ('p', format('{:.2g}', p)),
            ('made', cast(made as varchar)),
            ('failed', cast(failed as varchar)),
            ('p_city', format('{:.2g}', p_city)),
            ('p_province', format('{:.2g}', p_province)),
            ('readings', format('{:,}', cast(readings as bigint))),
            ('same_sign', format('{:.0f} %', 100 * same_sign)),
            ('by_city', format('{:.0f} %', 100 * by_city)),
            ('by_province', format('{:.0f} %', 100 * by_province)),
            ('printed_columns', cast(printed_columns as varchar)),
            ('unjudged', cast(unjudged as varchar)),
            ('no_data', cast(nullif(no_data, 0) as varchar)),
            ('cannot', cast(nullif(cannot, 0) as varchar)),
            ('mechanical', cast(nullif(mechanical, 0) as varchar))
        ]) as figures
    from stated
),

-- One row per finding and sentence that makes it: the claim has two.
chosen as (
    select
        unnest(['claim', 'claim', 'ai', 'robust', 'unjudged']) as finding,
        unnest([1, 2, 1, 1, 1]) as part,
        unnest(['claim', 'due_to_ai', 'ai', 'robust', 'unjudged']) as of_finding,
        unnest([verdict, ai_state, ai_state, robust_state, unjudged_state]) as state,
        *
    from texts
),

begun as (
    select
        chosen.finding,
        chosen.part,
        chosen.state,
        chosen.specification_id,
        chosen.substitutions,
        chosen.substitutions_zh,
        {%- for language in ['en', 'zh'] %}
        {{ replaced('sentences.sentence_' ~ language, 'chosen.figures', first_names) }} as sentence_{{ language }},
        {%- endfor %}
        map_concat(
            chosen.figures,
            map_from_entries([
                ('reason', case chosen.finding when 'robust' then chosen.robust_reason else chosen.ai_reason end)
            ])
        ) as figures_en,
        map_concat(
            chosen.figures,
            map_from_entries([
                ('reason', case chosen.finding when 'robust' then chosen.robust_reason_zh else chosen.ai_reason_zh end)
            ])
        ) as figures_zh
    from chosen
    inner join sentences
        on
            chosen.of_finding = sentences.finding
            and chosen.state = sentences.state
    -- Without data there is nothing that AI could be behind.
    where not (chosen.part = 2 and chosen.verdict in ('no_data', 'mechanical'))
),

filled as (
    select
        finding,
        part,
        state,
        specification_id,
        {%- for language in ['en', 'zh'] %}
        {{ complete_sentences(replaced('sentence_' ~ language, 'figures_' ~ language, other_names)) }}
            as sentence_{{ language }},
        {%- endfor %}
        substitutions,
        substitutions_zh
    from begun
),

final as (
    select
        current_extract_set() as extract_set,
        questions.finding,
        questions.finding_order,
        filled.specification_id,
        min(filled.state) filter (where filled.part = 1) as state,
        questions.question_en,
        questions.question_zh,
        string_agg(filled.sentence_en, '' order by filled.part) as sentence,
        string_agg(filled.sentence_zh, '' order by filled.part) as sentence_zh,
        filled.substitutions,
        filled.substitutions_zh
    from filled
    inner join questions on filled.finding = questions.finding
    group by all
)

select * from final
order by finding_order
