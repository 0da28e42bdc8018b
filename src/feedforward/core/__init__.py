"""The foundation of all other packages: errors, atomic file writes, locks, progress, redaction, provenance.

Belongs here: code that would be useful in any program of this kind, independent of networks and datasets.
Does not belong here: anything specific to datasets, variants, runs or models, or any heavy library.
Imports no other package of this project.
"""
