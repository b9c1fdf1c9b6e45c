{{ config(materialized='ephemeral') }}

with

labels as (
    select
        name as provider,
        label_en,
        label_zh
    from {{ ref('labels') }}
    where kind = 'provider'
),

-- What a register says of its firms decides what can be counted: nothing in a sample, and in a register of survivors,
-- which those who are gone are not in, no stock of any year and no exit.
registers as (
    select distinct
        provider,
        is_sample
    from {{ ref('raw_register_files') }}
    where
        entity = 'firm_register'
        and (is_sample or lacks_exit)
),

register_counts as (
    select
        unnest([
            'firm_count', 'firm_exit_count', 'firm_entry_count', 'ai_firm_count', 'ai_firm_exit_count',
            'ai_firm_entry_count'
        ]) as series
),

final as (
    select
        counts.series as quantity,
        string_agg(
            coalesce('The ' || labels.label_en, 'The register of ' || registers.provider) || case
                when registers.is_sample
                    then ' is a sample: it gives shares and composition, and no counts.'
                else ' has no exits: it gives entries of survivors, and no stock.'
            end,
            ' ' order by registers.provider
        ) as absence_reason,
        string_agg(
            coalesce(labels.label_zh, registers.provider || ' 的名录') || case
                when registers.is_sample then '是抽样：只给出占比与构成，不给出数量。'
                else '没有注销记录：只给出存续企业的设立数，不给出存量。'
            end,
            '' order by registers.provider
        ) as absence_reason_zh
    from registers
    inner join register_counts as counts on registers.is_sample or counts.series not like '%entry%'
    left join labels using (provider)
    group by counts.series
)

select * from final
