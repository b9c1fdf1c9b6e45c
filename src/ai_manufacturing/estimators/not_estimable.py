"""What the estimators raise when the data cannot answer: the reason of a row of estimates."""

from collections.abc import Callable
from typing import TypeVar

from ai_manufacturing.estimators.sentences import Sentence, Value, sentence

Answer = TypeVar("Answer")


class NotEstimable(Exception):  # noqa: N818 - a finding about the data, not an error of the program
    """A specification that this sample cannot estimate.

    Parameters
    ----------
    key : str
        A sentence of sentences.yml for the reader of the table, naming the column or the count at
        fault.
    **values
        The values that it names.

    Attributes
    ----------
    reason : Sentence
        The sentence in both languages.
    """

    def __init__(self, key: str, **values: Value) -> None:
        self.reason: Sentence = sentence(key, **values)
        super().__init__(self.reason.en)


def attempted(answer: Callable[[], Answer]) -> Answer | Sentence:
    """Return an answer, or the reason why the data give none."""
    try:
        return answer()
    except NotEstimable as finding:
        return finding.reason
