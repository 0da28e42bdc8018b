"""The foundation of all other packages: errors, atomic file writes, locks, progress, redaction, provenance.

Belongs here: what has nothing to do with networks or data sets and would be useful in any program of this kind.
Does not belong here: anything that knows what a data set, a variant, a run or a model is, and every heavy library.
Imports nothing else of this project.
"""
