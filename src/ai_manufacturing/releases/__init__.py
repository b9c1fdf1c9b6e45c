"""The release folder: published, past and held releases, the lock, and the logs."""
