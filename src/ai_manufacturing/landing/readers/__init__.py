"""Formats of delivered files, to sheets of text."""
