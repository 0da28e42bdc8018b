"""When and where work runs: DVC stages, Prefect flows and servers, deployments, GPU slots.

The work itself is in `feedforward`, which does not import this package (the command line does): every number can be
produced from a Python prompt without it. No NumPy, Keras, MLflow, Great Expectations or matplotlib here.
"""
