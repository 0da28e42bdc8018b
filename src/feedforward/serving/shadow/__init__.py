"""The shadow: a process with the lowest priority, in which the challenger answers requests a second time.

Belongs here: the service's queue (`queue`), the messages (`frames`), the process (`process`), and when two answers
agree (`agreement`).
Does not belong here: which version is the challenger (`serving.challengers`), and how a promotion uses the statistics
(`promotion.shadow_evidence`).
"""
