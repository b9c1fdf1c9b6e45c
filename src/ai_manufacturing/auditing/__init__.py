"""What an audit asks of a release.

What changed and why, what is late, where a number comes from, what is damaged.
"""
