"""When to train again, and the report that says why.

Belongs here: drift of labeled samples, the reasons to retrain (`policy`), the retraining report.
Does not belong here: the schedule and the flow (`pipelines`), serving: the two do not know each other.
"""
