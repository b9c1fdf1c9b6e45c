"""The release folder: what is published, past or held, who is at work, and what was attempted."""
