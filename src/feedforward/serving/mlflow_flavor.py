"""A registered version for `mlflow models serve`: raw samples in, labels and probabilities out.

The python_function flavor names this module as the loader, so the artifact contains no code and nothing is unpickled.
The digests of the loaded files are checked; if there is a local registry, the version must be registered in it. Serve
with `--env-manager local`, from an environment in which this package is installed:

    MLFLOW_TRACKING_URI=sqlite:///mlruns/mlflow.db mlflow models serve -m models:/imdb@champion --env-manager local
"""

import contextlib
import numbers
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from feedforward.core import atomic_files
from feedforward.core.errors import DataError, InputError, ParamsError
from feedforward.data.readers import cells
from feedforward.data.readers.encoders import Encoder
from feedforward.data.readers.row_encoder import RowEncoder
from feedforward.promotion import bundle
from feedforward.promotion.bundle import Servable
from feedforward.serving import prediction
from feedforward.tracking import model_versions

# Categories that pandas takes for missing values when it reads CSV; the others of its list are missing here, too.
PANDAS_MISSING = frozenset({"None", "#NA", "#N/A N/A", "-nan", "-NaN", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"})


class PyfuncModel:
    """Predicts for texts or base64 images (a list, or a table with one column), or for rows (a list or a table)."""

    def __init__(self, served: Servable) -> None:
        self.served = served

    def predict(self, model_input: Any, params: Any = None) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return one answer per sample; see `prediction.answers`.

        Raises:
            InputError: the encoder refuses a sample, and the message gives its number; or pandas may have changed a
                category, as it does when it reads CSV.
        """
        encoder = self.served.encoder
        samples = _samples(model_input, encoder)
        checked = [encoder.check(sample, f"inputs.{index}") for index, sample in enumerate(samples)]
        return prediction.answers(self.served, checked)


def _samples(model_input: Any, encoder: Encoder) -> list[Any]:
    if hasattr(model_input, "iloc") and isinstance(encoder, RowEncoder):
        if not model_input.columns.is_unique:  # pandas would keep the last of these columns in each record
            name = model_input.columns[model_input.columns.duplicated()][0]
            raise InputError("inputs", f"{cells.occurs_twice(str(name))}; rename or remove one of them")
        rows = list(model_input.astype(object).where(model_input.notna(), None).to_dict("records"))
        _check_categories(rows, encoder)
        return rows
    if hasattr(model_input, "iloc"):  # a pandas table with one column
        if model_input.shape[1] != 1:
            raise InputError("inputs", f"must have one column, got {model_input.shape[1]}")
        return list(model_input.iloc[:, 0])
    if hasattr(model_input, "tolist"):
        model_input = model_input.reshape(-1).tolist()
    if not isinstance(model_input, list):
        raise InputError("inputs", f"must be a list of samples, got {type(model_input).__name__}")
    return model_input


def _check_categories(rows: Sequence[dict[Any, Any]], encoder: RowEncoder) -> None:
    """Refuse a table in which pandas may have replaced categories, because MLflow reads `text/csv` with its guesses.

    The number 7 could be the code 007, and a missing value could be the category None.
    """
    for name, known in encoder.measured.categorical:
        keys = [key for key in rows[0] if cells.text(key) == name] if rows else []  # all rows have the same keys
        values = [row[key] for row in rows for key in keys]
        number = next(filter(_is_number, values), None)
        if number is not None and (code := next(filter(_is_code, known), None)):
            raise _may_be_changed(name, str(number), code)
        if None in values and (word := next(filter(PANDAS_MISSING.__contains__, known), None)):
            raise _may_be_changed(name, "a missing value", word)


def _may_be_changed(column: str, received: str, category: str) -> InputError:
    problem = f"column {column!r}: {received} could be the category {category!r}, changed by pandas"
    return InputError("inputs", f"{problem}; send objects with texts as `inputs`, or pass a list of them")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_code(category: str) -> bool:
    """Whether pandas reads the category as a number that is spelled differently, as it does with leading zeros."""
    for read in (int, float):
        with contextlib.suppress(ValueError):
            return cells.category(read(category)) != category
    return False


def _load_pyfunc(path: str) -> PyfuncModel:
    """Load the model in the artifact's folder. MLflow calls this function.

    Raises:
        DataError: the folder was changed, or is not in the local registry.
    """
    folder = Path(path)
    try:
        digest = atomic_files.file_digest(folder / bundle.MANIFEST)
    except OSError as error:
        raise DataError(f"{folder / bundle.MANIFEST}: cannot be read ({error.strerror})") from None
    if _is_registered(digest) is False:
        raise DataError(f"{folder}: is not registered in the local registry; do not use it; promote the run again")
    return PyfuncModel(bundle.read(folder, digest))


def _is_registered(digest: str) -> bool | None:
    try:
        return model_versions.is_registered(digest)
    except ParamsError:  # not in a checkout, so there is no registry
        return None
