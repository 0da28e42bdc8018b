"""Verified bytes from mirrors, URLs and folders, and archives read as streams.

Belongs here: where bytes come from, retries and time limits, SHA-256 checks, and reading archives without extracting
them.
Does not belong here: what the bytes mean (`readers`).
"""
