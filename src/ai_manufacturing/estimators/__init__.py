"""Panel data estimators used in the paper, tested against results of other software."""
