"""When and where: DVC stages, Prefect flows, deployments. What is done lives in `feedforward`."""
