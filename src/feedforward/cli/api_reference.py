"""docs/api.md: what `import feedforward` offers. `python -m feedforward.cli.reference` writes the page."""

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import feedforward
from feedforward import api

PAGE = Path(__file__).resolve().parents[3] / "docs" / "api.md"
START = """# Python API

`import feedforward as ff` offers these functions to notebooks and scripts; `make reference` generates this page from
their docstrings. They work in the nearest folder with a `params.yaml`. If something is wrong, they raise a subclass of
`feedforward.core.errors.FeedforwardError` whose message says what to do. `Protocol` is `"fair"` or `"lecture"`. The
notebooks [lecture.ipynb](../notebooks/lecture.ipynb) and [homework.ipynb](../notebooks/homework.ipynb) use most of
them.

```python
import feedforward as ff

params = ff.load_params()
ff.prepare(params)
for findings in ff.compare(ff.train(params), params):
    print(ff.summary_table(findings))
```
"""
OTHERS = {
    "Params": "The parameters of a workspace: all settings in params.yaml ([reference.md](reference.md#paramsyaml)).",
    "TASKS": "Task → last activation, loss and what is predicted ([datasets.md](datasets.md#what-is-predicted)).",
    "__version__": "The version of this package, a text.",
    "figures": "A module with the figures of the lecture, drawn by matplotlib from what `compare` returns.",
    "homework": "A module with the checks of the exercises in homework.ipynb.",
    "keras": "Keras, loaded without messages and set up as for training.",
}


def page() -> str:
    """The content of docs/api.md."""
    functions: list[Any] = [value for name in api.__all__ if inspect.isfunction(value := getattr(api, name))]
    functions.sort(key=lambda function: (function.__module__ == api.__name__, inspect.getsourcelines(function)[1]))
    parts = [f"## {function.__name__}\n\n{_description(function)}\n" for function in functions]
    names = set(feedforward.__all__) - {function.__name__ for function in functions}
    others = [f"| `ff.{name}` | {OTHERS[name]} |" for name in sorted(names, key=str.lower)]
    table = "\n".join(["| name | meaning |", "|---|---|", *others])
    return "\n".join([START, *parts, f"## Other names\n\n{table}\n"])


def _description(function: Callable[..., Any]) -> str:
    """The signature as it is written in the source, and the docstring without the list of errors."""
    source = inspect.getsource(function)
    [definition] = ast.parse(source).body
    assert isinstance(definition, ast.FunctionDef)
    lines = source.splitlines()[definition.lineno - 1 : definition.body[0].lineno - 1]
    signature = "\n".join(lines).removeprefix("def ").removesuffix(":")
    text = (inspect.getdoc(function) or "").partition("\n\nRaises:")[0]
    return f"```python\nff.{signature}\n```\n\n{text}"
