"""Fixtures that several test modules in this folder use."""

from live_cluster import cluster  # noqa: F401
