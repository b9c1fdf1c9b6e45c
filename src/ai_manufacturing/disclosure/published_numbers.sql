-- name: macros
create or replace temp macro places_of(value, digits) as (
    case
        when value = 0 or not isfinite(value) then digits
        else digits - 1 - floor(log10(abs(value)))
    end
);
create or replace temp macro rounded(value, places) as (
    case
        when isfinite(value) then round(value, cast(places as integer))
        else value
    end
);
create or replace temp macro to_decimals(value, places) as (
    rounded(
        value,
        case
            when abs(value) < 0.5 * power(10, -places) then places_of(value, 2) else places
        end
    )
);
-- Round a p-value, but not up to or above a significance level that the exact value is below.
create or replace temp macro below_level(p_value, places) as (
    coalesce(
        list_max(
            list_transform(
                list_filter(
                    [0.001, 0.01, 0.05, 0.1],
                    lambda level: p_value < level and level <= rounded(p_value, places)
                ),
                lambda level: level - power(10, -places - 1)
            )
        ),
        rounded(p_value, places)
    )
);
create or replace temp macro bin_width(low, high, count) as (
    nullif(rounded((high - low) / count, places_of((high - low) / count, 1)), 0)
);
