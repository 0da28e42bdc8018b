"""The variance of a share of correct answers that is 0 or 1, however few there are.

Its estimate p (1 - p) / n is 0. Agresti and Coull ("Approximate is better than 'exact' for interval estimation of
binomial proportions", The American Statistician 52, 1998) therefore add two correct and two wrong answers.
"""


def added_variance(share: float, samples: float) -> float:
    """By how much two more correct and two more wrong answers change the variance of a share among `samples` answers.

    The number of samples by which the variance is divided stays the same.
    """
    adjusted = (share * samples + 2) / (samples + 4)
    return (adjusted * (1 - adjusted) - share * (1 - share)) / samples
