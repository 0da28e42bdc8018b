"""When and where work runs: DVC stages, Prefect flows and servers, deployments, GPU slots.

The work itself is done by `feedforward`. Apart from its command line, it does not import this package, so every number
can be produced from a Python prompt without `pipelines`. No NumPy, Keras, MLflow, Great Expectations or matplotlib
here.
"""
