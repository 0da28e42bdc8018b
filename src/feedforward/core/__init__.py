"""The foundation of all other packages: errors, atomic file writes, locks, progress, redaction, provenance.

Belongs here: code that several packages need and that does not depend on what params.yaml, data or models contain.
Does not belong here: reading or checking data, parameters, runs or models, or any heavy library.
Imports no other package of this project.
"""
