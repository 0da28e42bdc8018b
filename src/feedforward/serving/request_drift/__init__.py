"""Drift of the requests: a random sample of each window of requests, compared with the training data, without labels.

Belongs here: the windows of the service (`recorder`, `reservoir`) and the process that compares them.
Does not belong here: the statistics (`data.drift`) and the files (`data.request_windows`).
"""
