"""From the results of runs to conclusions: summary statistics, intervals, paired differences, verdicts on claims.

    run_result → statistics → comparisons → findings
                 intervals, sequential → claims

Belongs here: functions that turn results into statistics, intervals, verdicts and warnings; `RunResult`, the result of
one run that they take as input, and functions that save and load it.
Does not belong here: drawing (`reports`), reading the tracking store (`tracking`), choosing models (`promotion`).
Imports `core` and `config`; NumPy and SciPy are its only libraries.
"""
