"""A registered version used through MLflow: served by `mlflow models serve`, and loaded as a `python_function`."""

import asyncio
import base64
import io
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pictures
import pytest
import registered
from live_service import GLAD
from mlflow.pyfunc import scoring_server
from pandas.io.parsers.readers import STR_NA_VALUES
from registered import NAME

import feedforward as ff
from bench import clients, serving
from feedforward.config.schema import Params
from feedforward.core.errors import DataError, InputError
from feedforward.data.readers import cells
from feedforward.data.readers.columns import Columns
from feedforward.data.readers.row_encoder import RowEncoder
from feedforward.models import network_files
from feedforward.promotion import bundle
from feedforward.serving import mlflow_flavor, prediction
from feedforward.tracking import model_version, model_versions, settings

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow

MISSING_ONLY_IN_PANDAS = sorted(cell for cell in STR_NA_VALUES if not cells.is_missing(cell))


def ask(port: int, body: bytes, content_type: str = "application/json") -> tuple[int, Any]:
    """Return the status and the JSON of a response from MLflow's server."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def load_model(name: str) -> Any:
    """Load the champion as MLflow's users do."""
    mlflow.set_tracking_uri(settings.tracking_uri())
    return mlflow.pyfunc.load_model(f"models:/{name}@champion")


def test_mlflow_server_and_benchmark_get_the_answers_of_the_champion(small: Params, small_store: "Store") -> None:
    registered.champion(small_store, small)
    texts = [GLAD, "word1", "nobody knows größe"]
    champion = prediction.champion(NAME)
    with serving.mlflow_server(NAME) as mlflow_server, serving.feedforward_server() as service:
        expected = prediction.answers(champion.served, texts)
        for body in (
            {"inputs": texts},
            {"instances": texts},
            {"dataframe_split": {"data": [[text] for text in texts]}},
        ):
            status, content = ask(mlflow_server.port, json.dumps(body).encode())
            assert status == 200, content
            assert [answer["label"] for answer in content["predictions"]] == ["glad", "sad", "sad"]
            for answer, expected_answer in zip(content["predictions"], expected, strict=True):
                assert answer["probabilities"] == pytest.approx(expected_answer["probabilities"])
        for invalid in (b'{"inputs": ["word1", ""]}', b'{"samples": ["word1"]}', b"{"):
            status, content = ask(mlflow_server.port, invalid)
            assert 400 <= status < 500, (invalid, content)
        # the benchmark compares both services in the same way
        [texts] = serving.samples(champion).values()
        inputs = texts[:5]
        bodies = [[{"inputs": [text]} for text in inputs], [{"samples": [text]} for text in inputs]]
        endpoints = [(mlflow_server.port, "/invocations"), (service.port, f"/predict/{NAME}")]
        serving.check_same_answers(
            *(serving.answers(*endpoint, requests) for endpoint, requests in zip(endpoints, bodies, strict=True))
        )
        for endpoint, requests in zip(endpoints, bodies, strict=True):
            for measured in (
                clients.send(*endpoint, requests, 1, 4),
                asyncio.run(clients.send_without_wrk(*endpoint, requests, 0.5, 4)),
            ):
                assert measured.rate > 0
                assert 0 < measured.p50 <= measured.p99


def test_flavor_accepts_tables_lists_and_arrays_and_names_an_invalid_sample(
    small: Params, small_store: "Store"
) -> None:
    version = registered.champion(small_store, small)
    folder = model_versions.folder(version, model_version.SERVED)
    model = mlflow_flavor._load_pyfunc(str(folder))
    for inputs in ([GLAD, "word1"], pd.DataFrame({"any": [GLAD, "word1"]}), np.array([[GLAD], ["word1"]])):
        assert [answer["label"] for answer in model.predict(inputs)] == ["glad", "sad"]
    for invalid, message in (
        (["word1", ""], "inputs.1: must contain at least one word"),
        (["word1", None], "inputs.1: must be text, got null"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), "inputs: must have one column, got 2"),
        ("word1", "inputs: must be a list of samples"),
    ):
        with pytest.raises(InputError, match=message):
            model.predict(invalid)


ROWS = [{"hours": 9, "school": "south"}, {"hours": 1.5, "school": "south"}, {"hours": "5", "school": "north"}]


def test_mlflow_loads_and_serves_a_version_for_rows_of_a_table(small_store: "Store") -> None:
    registered.grades_champion(small_store)
    expected = prediction.answers(prediction.champion("grades").served, ROWS)
    assert [answer["label"] for answer in expected] == ["10", "2", "1"]
    model = load_model("grades")
    for inputs in (ROWS, pd.DataFrame(ROWS), pd.DataFrame(ROWS).convert_dtypes(), pd.DataFrame(ROWS[:2])):
        assert model.predict(inputs) == expected[: len(inputs)]
    [answer] = model.predict(pd.DataFrame({"hours": [1], "school": [None]}))
    assert answer["warnings"] == ["school=(missing): does not occur in the training data and is ignored"]
    with pytest.raises(InputError, match=r"inputs\.0: expected a column 'school', got hours"):
        model.predict(pd.DataFrame({"hours": [1.0]}))
    for names in (["hours", "school", "hours"], ["hours", "school", " hours"], ["other", "other", "hours"]):
        with pytest.raises(InputError, match=r"^inputs.*: column '(hours|other)' occurs twice"):
            model.predict(pd.DataFrame([[9, "south", 1]], columns=names))
    split = {"columns": ["hours", "school"], "data": [[row["hours"], row["school"]] for row in ROWS]}
    with serving.mlflow_server("grades") as mlflow_server:
        for body in ({"dataframe_records": ROWS}, {"dataframe_split": split}, {"inputs": ROWS}):
            status, content = ask(mlflow_server.port, json.dumps(body).encode())
            assert (status, content) == (200, {"predictions": expected}), body
        missing = {"hours": None, "school": None}
        for key in ("dataframe_records", "inputs"):
            status, content = ask(mlflow_server.port, json.dumps({key: [missing]}).encode())
            assert (status, content) == (200, {"predictions": ff.predict("grades", [missing])}), key
            status, content = ask(mlflow_server.port, json.dumps({key: [{**missing, "hours": "1,234"}]}).encode())
            assert status == 400, content  # ambiguous; MLflow does not pass the message on


@pytest.mark.proves("MLflow's server answers no row in which pandas may have replaced a category")
@pytest.mark.parametrize(
    ("cell", "known", "problem"),
    [
        ("007", ("007", "7"), "7 could be the category '007'"),
        ("7", ("007", "7"), "7 could be the category '007'"),
        ("008", ("007", "7"), "8 could be the category '007'"),
        ("1e5", ("1e5", "100000"), r"100000\.0 could be the category '1e5'"),
        *((cell, (cell, "x"), f"a missing value could be the category '{cell}'") for cell in MISSING_ONLY_IN_PANDAS),
        ("", ("None", "x"), "a missing value could be the category 'None'"),
        ("7", ("-1.5", "7"), ""),
        ("12345678901234567", ("12345678901234567", "x"), ""),
        ("True", ("false", "true"), ""),
        ("", ("north", "south"), ""),
        ("A07", ("007", "A07"), ""),
    ],
)
def test_categories_that_pandas_may_have_changed_are_refused(cell: str, known: tuple[str, ...], problem: str) -> None:
    encoder = RowEncoder(Columns((), (("code", known),)))
    table = scoring_server.parse_csv_input(io.StringIO(f"code,other\n{cell},1\n"))
    if problem:
        with pytest.raises(InputError, match=f"^inputs: column 'code': {problem}, changed by pandas; send .* `inputs`"):
            mlflow_flavor._samples(table, encoder)
    else:
        [row] = mlflow_flavor._samples(table, encoder)
        assert encoder.check(row, "") == encoder.check({"code": cell}, "")
    assert mlflow_flavor._samples(table[:0], encoder) == []
    for texts in ([{"code": cell}], pd.DataFrame({"code": [cell]})):
        assert encoder.check(mlflow_flavor._samples(texts, encoder)[0], "") == encoder.check({"code": cell}, "")


def test_mlflow_loads_versions_for_texts_and_images(small: Params, small_store: "Store") -> None:
    registered.champion(small_store, small)
    registered.pictures_champion(small_store)
    images = [base64.b64encode(pictures.encoded(pictures.stroke(60, 40, seed))).decode() for seed in range(2)]
    for name, samples in ((NAME, [GLAD, "word1"]), ("tones", images)):
        served, model = prediction.champion(name).served, load_model(name)
        expected = prediction.answers(served, [served.encoder.check(sample, "") for sample in samples])
        for inputs in (samples, pd.DataFrame({"any": samples}), np.array(samples)):
            assert model.predict(inputs) == expected, (name, inputs)


def test_a_tampered_version_is_not_loaded(small: Params, small_store: "Store") -> None:
    version = registered.champion(small_store, small)
    folder = model_versions.folder(version, model_version.SERVED)
    content = (folder / network_files.WEIGHTS).read_bytes()
    (folder / network_files.WEIGHTS).write_bytes(registered.weights(4.0))
    with pytest.raises(DataError, match="has changed since it was registered"):
        mlflow_flavor._load_pyfunc(str(folder))
    (folder / network_files.WEIGHTS).write_bytes(content)
    (folder / bundle.MANIFEST).write_bytes((folder / bundle.MANIFEST).read_bytes() + b" ")
    with pytest.raises(DataError, match="is not registered in the local registry"):
        mlflow_flavor._load_pyfunc(str(folder))
