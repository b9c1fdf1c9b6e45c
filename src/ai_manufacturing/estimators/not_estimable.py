"""Exception for regressions that cannot be estimated, with a reason to report to readers."""

from collections.abc import Callable
from typing import TypeVar

from ai_manufacturing.estimators.sentences import Sentence, Value, sentence

Result = TypeVar("Result")


class NotEstimable(Exception):  # noqa: N818 - a finding about the data, not an error of the program
    """Raised if the data do not allow a regression or test to be estimated.

    Parameters
    ----------
    key : str
        Key in sentences.yml of the explanation that the estimates table shows. It names the column
        or count at fault.
    **values
        Values for the placeholders of that sentence.

    Attributes
    ----------
    reason : Sentence
        The explanation in English and Chinese.
    """

    def __init__(self, key: str, **values: Value) -> None:
        self.reason: Sentence = sentence(key, **values)
        super().__init__(self.reason.en)


def get_result_or_reason(estimate: Callable[[], Result]) -> Result | Sentence:
    """Return the result of a function, or the reason if the function raises NotEstimable."""
    try:
        return estimate()
    except NotEstimable as finding:
        return finding.reason
