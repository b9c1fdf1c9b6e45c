"""Readers that convert delivered files of any format to sheets of text."""
