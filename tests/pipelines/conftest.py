"""Fixtures that several tests of this folder use."""

from live_cluster import cluster  # noqa: F401
