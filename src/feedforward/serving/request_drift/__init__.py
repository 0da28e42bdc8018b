"""Request drift: a random sample of each window of requests is compared with the training data, without labels.

Belongs here: the service's windows of requests (`recorder`, `reservoir`) and the process that compares them.
Does not belong here: the statistics (`data.drift`) and the files (`data.request_windows`).
"""
