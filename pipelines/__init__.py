"""When and where work runs: DVC stages, Prefect flows and servers, deployments, GPU slots.

The work itself is done by the package `feedforward`. Only its command line imports `pipelines`, so every number can be
produced from a Python prompt without `pipelines`. Modules here do not import NumPy, Keras, MLflow, Great Expectations
or matplotlib.
"""
