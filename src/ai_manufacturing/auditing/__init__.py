"""Audits of a release: what changed and why, what is late or damaged, where a number is from."""
