"""Train variants of feedforward networks, compare them across seeds, and serve the best.

    import feedforward as ff

    params = ff.load_params()
    ff.prepare(params)
    findings = ff.compare(ff.train(params), params)

Only the names in `__all__` are public. Each is loaded when it is first used.
"""

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

from feedforward.core import code_digest as _code_digest  # noqa: F401  it remembers which code is imported

if TYPE_CHECKING:
    import keras

    from feedforward import homework
    from feedforward.api import (
        Params,
        build_network,
        column_names,
        compare,
        fetch,
        load_params,
        load_split,
        predict,
        prepare,
        raw_samples,
        results,
        split_training,
        summary_table,
        test_scores,
        train,
        use_workspace,
        validate,
        vectorize,
        verdicts,
        verdicts_table,
    )
    from feedforward.config.tasks import TASKS
    from feedforward.reports import figures

    __version__: str

__all__ = [
    "TASKS",
    "Params",
    "__version__",
    "build_network",
    "column_names",
    "compare",
    "fetch",
    "figures",
    "homework",
    "keras",
    "load_params",
    "load_split",
    "predict",
    "prepare",
    "raw_samples",
    "results",
    "split_training",
    "summary_table",
    "test_scores",
    "train",
    "use_workspace",
    "validate",
    "vectorize",
    "verdicts",
    "verdicts_table",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "__version__":
        return importlib.metadata.version("feedforward")
    if name == "homework":
        return importlib.import_module("feedforward.homework")
    if name == "keras":  # silent, and set up as for training
        importlib.import_module("feedforward.experiments.runner").prepare(jobs=1)
        return importlib.import_module("feedforward.training.keras_backend").keras
    if name == "figures":
        return importlib.import_module("feedforward.reports.figures")
    if name == "TASKS":
        return importlib.import_module("feedforward.config.tasks").TASKS
    return getattr(importlib.import_module("feedforward.api"), name)


def __dir__() -> list[str]:
    return __all__
