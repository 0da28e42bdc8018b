"""From the results of runs to statements: summary statistics, intervals, paired differences, verdicts on claims.

    run_result → statistics → comparisons → findings
                 intervals, sequential → claims

Belongs here: pure functions from numbers to numbers, and `RunResult`, the record that they start from.
Does not belong here: drawing (`reports`), reading the tracking store (`tracking`), deciding about models (`promotion`).
Imports `core` and `config`; NumPy and SciPy are its only libraries.
"""
