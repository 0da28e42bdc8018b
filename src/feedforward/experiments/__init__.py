"""Planning the runs of an experiment, training and recording those that are missing, and comparing them.

    plan → runner → comparison

Belongs here: the plan of an experiment with its packs and fingerprints, sweeps and searches, the study, verification.
Does not belong here: how a network is trained (`training`), when and where jobs run (`pipelines`).
"""
