"""Lists and years as sentences name them."""

from collections.abc import Iterable, Sequence


def some_of(
    items: Sequence[str], limit: int, separator: str = ", ", rest: str = " and {} more"
) -> str:
    """Return the first items, and how many more there are.

    Parameters
    ----------
    items : sequence of str
        All of them.
    limit : int
        Of those that are named.
    separator : str
        Between two.
    rest : str
        With a place for the number of the others.
    """
    more = len(items) - limit
    return separator.join(items[:limit]) + (rest.format(more) if more > 0 else "")


def spans(years: Iterable[int]) -> list[tuple[int, int]]:
    """Return the first and last years of the spans without a gap that years make."""
    ended: list[tuple[int, int]] = []
    for year in sorted(years):
        if ended and ended[-1][1] == year - 1:
            ended[-1] = (ended[-1][0], year)
        else:
            ended.append((year, year))
    return ended


def spans_in_words(years: Iterable[int]) -> str:
    """Return years as 2012-2018, 2020."""
    return ", ".join(
        str(first) if first == last else f"{first}-{last}" for first, last in spans(years)
    )
