"""Manage the release folder: releases, unpublished builds, the lock and the logs."""
