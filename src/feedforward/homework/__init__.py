"""Checks for the tasks of notebooks/homework.ipynb; each says what is wrong without giving the answer.

    ff.homework.check_network(build)        1. a generic network
    ff.homework.check_tasks(choices)        2. activation and loss for each kind of task
    ff.homework.check_overfit_epoch(find)   3. the epoch after which a network overfits
    ff.homework.check_comparison(compare)   4. two variants, compared honestly
    ff.homework.check_sweep(...)            5. a sweep that beats the baseline

Belongs here: what students hand in, typical mistakes, and hints. Does not belong here: solutions.
"""

from feedforward.homework.comparison import check_comparison
from feedforward.homework.network import check_network
from feedforward.homework.outcome import Outcome
from feedforward.homework.overfitting import check_overfit_epoch
from feedforward.homework.sweep import check_sweep, with_variants
from feedforward.homework.tasks import check_tasks

__all__ = [
    "Outcome",
    "check_comparison",
    "check_network",
    "check_overfit_epoch",
    "check_sweep",
    "check_tasks",
    "with_variants",
]
