"""Answer an assistant's questions about a release, with verdicts and caveats."""
