"""Format lists and year ranges for messages."""

from collections.abc import Iterable, Sequence


def join_first(
    items: Sequence[str], limit: int, separator: str = ", ", rest: str = " and {} more"
) -> str:
    """Join the first `limit` items, and append the number of omitted items.

    Parameters
    ----------
    items : sequence of str
        Items to list.
    limit : int
        Maximum number of items to list.
    separator : str
        Text between two items.
    rest : str
        Suffix for omitted items, with a placeholder for their number.
    """
    more = len(items) - limit
    return separator.join(items[:limit]) + (rest.format(more) if more > 0 else "")


def count_noun(count: int, singular: str, plural: str) -> str:
    """Return a number with a noun in its singular or plural, for example `1 cell`."""
    return f"{count} {singular if count == 1 else plural}"


def find_spans(years: Iterable[int]) -> list[tuple[int, int]]:
    """Return the first and last year of each run of consecutive years."""
    year_spans: list[tuple[int, int]] = []
    for year in sorted(years):
        if year_spans and year_spans[-1][1] == year - 1:
            year_spans[-1] = (year_spans[-1][0], year)
        else:
            year_spans.append((year, year))
    return year_spans


def format_spans(years: Iterable[int]) -> str:
    """Format years as ranges, for example `2012-2018, 2020`."""
    return ", ".join(
        str(first) if first == last else f"{first}-{last}" for first, last in find_spans(years)
    )
