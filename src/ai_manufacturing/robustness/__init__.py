"""Robustness checks: alternative inference, influence, sensitivity, specification curve."""
