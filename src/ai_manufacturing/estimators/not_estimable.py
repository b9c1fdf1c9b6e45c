"""What the estimators raise when the data cannot answer: the reason becomes a row beside the estimates."""


class NotEstimable(Exception):  # noqa: N818 - a finding about the data, not an error of the program
    """A specification that this sample cannot estimate.

    Parameters
    ----------
    reason : str
        One sentence for the reader of the table, naming the column or the count at fault.

    Attributes
    ----------
    reason : str
        The same sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
