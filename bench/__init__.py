"""Benchmarks (`make bench`): comparisons with a plain Keras script, lower bounds set by this machine, and growth."""
