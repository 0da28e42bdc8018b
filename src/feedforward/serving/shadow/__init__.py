"""The shadow: a process of the lowest priority in which the challenger answers requests a second time.

Belongs here: the queue of the service (`queue`), what it sends (`frames`), the process, and when two answers agree.
Does not belong here: which version is the challenger (`serving.challengers`), and what the gate makes of the figures
(`promotion.shadow_evidence`).
"""
