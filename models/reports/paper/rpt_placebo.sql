with

permuted as (
    select * from {{ ref('est_permuted_weights') }}
    where
        strata = 'none'
        and status = 'estimated'
),

own as (
    select
        specification_id,
        estimate
    from {{ ref('rpt_coefficients') }}
    where term = regressor
),

-- Ordered, as sums of doubles depend on their order.
summarised as (
    select
        specification_id,
        count(*) as draws,
        avg(estimate order by permutation) as placebo_mean,
        stddev_samp(estimate order by permutation) as placebo_sd,
        quantile_cont(estimate, 0.025) as placebo_low,
        quantile_cont(estimate, 0.975) as placebo_high
    from permuted
    group by specification_id
),

-- Equal but for rounding, as all draws in logs are, is as far.
farther as (
    select
        permuted.specification_id,
        count(*) as farther_draws
    from permuted
    inner join summarised using (specification_id)
    inner join own using (specification_id)
    where
        abs(permuted.estimate - summarised.placebo_mean)
        >= abs(own.estimate - summarised.placebo_mean) * (1 - 1e-9) - 1e-12
    group by permuted.specification_id
),

final as (
    select
        {{ extract_set() }} as extract_set,
        summarised.specification_id,
        summarised.draws,
        own.estimate,
        summarised.placebo_mean,
        summarised.placebo_sd,
        summarised.placebo_low,
        summarised.placebo_high,
        (1 + coalesce(farther.farther_draws, 0)) / (1 + summarised.draws) as p_value
    from summarised
    inner join own using (specification_id)
    left join farther using (specification_id)
)

select * from final
