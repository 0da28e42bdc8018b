"""Plans the runs of an experiment, trains and records those that are missing, and compares the results.

    plan → runner → comparison

Belongs here: experiment plans with their packs and fingerprints, baselines, sweeps and searches, decisions, the study,
verification.
Does not belong here: how a network is trained (`training`), when and where jobs run (`pipelines`).
"""
