"""Estimators of the paper, each tested against outside numbers."""
