-- name: repetitions
with shared as (
    select
        period,
        list(distinct delivery order by delivery) as deliveries
    from delivered
    semi join repeated on hash(key) = key_hash
    group by period, key
    having min(delivery) < max(delivery)
),

earlier as (
    select distinct
        period,
        deliveries,
        unnest(deliveries) as delivery
    from shared
),

pairs as (
    select
        period,
        delivery,
        unnest(deliveries) as repeated_by
    from earlier
),

periods as (
    select distinct
        delivery,
        period
    from delivered
),

counts as (
    select
        delivery,
        count(*) as period_count
    from periods
    group by delivery
),

repetitions as (
    select distinct
        period,
        delivery,
        repeated_by
    from pairs
    where repeated_by > delivery
)

select
    period,
    delivery,
    repeated_by,
    period_count
from repetitions inner join counts using (delivery);
