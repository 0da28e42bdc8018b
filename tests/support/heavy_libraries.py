"""The libraries that light commands and `import feedforward` must not import."""

HEAVY_LIBRARIES = {
    "tensorflow",
    "keras",
    "mlflow",
    "great_expectations",
    "prefect",
    "matplotlib",
    "pandas",
    "dvc",
    "scipy",
}
