"""Benchmarks (`make bench`): comparisons with a plain Keras script and with MLflow, lower bounds, and growth."""
