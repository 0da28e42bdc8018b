"""When to train again, and the report that says why.

Belongs here: the reasons to retrain (`policy`), drift among them, and the retraining report (`report`).
Does not belong here: the schedule and the flow (`pipelines`), and `serving`, which is independent of this package.
"""
