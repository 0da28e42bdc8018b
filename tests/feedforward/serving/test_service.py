"""The service as a client sees it: predictions and state of a real server on loopback."""

import base64
import math
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest
import registered
from live_service import GLAD, SERVING, LiveService
from pictures import encoded, stroke
from registered import NAME
from small_data import params_with, write_params
from waiting import until

from feedforward.config.schema import Params
from feedforward.core import paths
from feedforward.models import network_files
from feedforward.promotion import bundle
from feedforward.serving import prediction
from feedforward.tracking import model_versions
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow


# --- answers ---------------------------------------------------------------------------------


def test_service_gives_the_same_answers_as_the_predict_command(served: LiveService) -> None:
    champion = prediction.champion(NAME)
    [expected] = prediction.answers(champion.served, [GLAD])
    content = served.ask(GLAD, "word1").json()
    assert (content["dataset"], content["version"]) == (NAME, 1)
    assert content["predictions"][0] == {key: pytest.approx(value) for key, value in expected.items()}
    assert [answer["label"] for answer in content["predictions"]] == ["glad", "sad"]

    [answer] = served.ask(GLAD, variants=True, explain=True).json()["predictions"]
    assert answer["variants"]["dropout"]["label"] == "sad"
    assert answer["variants"]["original"]["probability"] > answer["probability"]
    towards, words = prediction.explain(champion.served, GLAD)
    assert answer["words"]["towards"] == towards
    assert [word["effect"] for word in answer["words"]["effects"]] == pytest.approx([word.effect for word in words])


def test_an_image_is_accepted_in_every_form(served: LiveService) -> None:
    content = encoded(255 - stroke(90, 60))
    text = base64.b64encode(content).decode()
    probabilities = [
        served.ask(sample, dataset="tones").json()["predictions"][0]["probabilities"]
        for sample in (text, f"data:image/png;base64,{text}", (255 - stroke(90, 60)).tolist())
    ]
    response = served.client.post("/predict/tones", content=content, headers={"content-type": "image/png"})
    probabilities.append(response.json()["predictions"][0]["probabilities"])
    assert all(each == probabilities[0] for each in probabilities)
    [answer] = served.ask(text, dataset="tones", explain=True).json()["predictions"]
    levels = np.array(answer["seen"]["levels"]).reshape(28, 28)
    assert levels.max() == 255
    assert levels.shape == (answer["seen"]["height"], answer["seen"]["width"])


def test_a_text_can_be_the_request_body(served: LiveService) -> None:
    response = served.client.post(f"/predict/{NAME}", content=GLAD.encode(), headers={"content-type": "text/plain"})
    assert response.json() == served.ask(GLAD).json()


def test_probabilities_in_answers_are_between_0_and_1(served: LiveService) -> None:
    for answer in served.ask(GLAD, "word1", "x").json()["predictions"]:
        assert all(math.isfinite(p) and 0 <= p <= 1 for p in answer["probabilities"].values())


# --- state -----------------------------------------------------------------------------------


def test_health_ready_metrics_and_openapi_routes_answer(served: LiveService) -> None:
    assert served.client.get("/health").json() == {"status": "alive"}
    assert served.client.get("/ready").json()["champions"] == {NAME: 1, "tones": 1}
    served.ask(GLAD, GLAD)
    served.ask("")
    text = served.client.get("/metrics").text
    assert f'feedforward_samples_total{{dataset="{NAME}"}} 2.0' in text
    assert 'feedforward_requests_total{path="predict",status="422"} 1.0' in text
    assert 'feedforward_request_seconds_count{path="predict"} 2.0' in text
    assert f'feedforward_champion_version{{dataset="{NAME}"}} 1.0' in text
    for path in ("/evil", "/predict/evil", "/incoming/evil"):  # a client cannot add series with names of its own
        served.client.post(path, json={})
    assert "evil" not in served.client.get("/metrics").text
    api = served.client.get("/openapi.json").json()
    assert {"/predict/{dataset}", "/incoming/{dataset}", "/health", "/ready", "/metrics"} <= set(api["paths"])
    for path in ("/docs", "/"):
        page = served.client.get(path)
        assert page.status_code == 200
        assert not re.search(r"(src|href)=[\"']?(https?:)?//", page.text), path
        assert "default-src 'none'" in page.headers["content-security-policy"]
    content = served.client.get("/datasets").json()["datasets"][NAME]
    assert content["champion"] == {"variant": "original", "seed": 0, "epochs": 2, "samples": 90, "version": 1}
    assert set(content["variants"]) == {"original", "dropout"}


def test_service_answers_503_until_there_is_a_champion(small: Params, small_store: "Store") -> None:
    with LiveService(small.model_copy(update={"serving": SERVING})) as served:
        response = served.ask(GLAD)
        assert response.status_code == 503
        assert "run `feedforward promote notes`" in response.json()["error"]
        assert served.client.get("/ready").status_code == 503
        assert served.client.get("/health").status_code == 200
        registered.champion(small_store, small)
        until(lambda: served.ask(GLAD).status_code == 200)
        assert served.client.get("/ready").status_code == 200


def test_a_new_champion_is_loaded_under_load_but_a_tampered_one_is_not(served: LiveService) -> None:
    registry = Registry()
    [run] = registry.find_runs(NAME, role="final")
    responses: list[tuple[int, int]] = []
    stop = threading.Event()

    def send_requests() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{served.port}") as client:
            while not stop.is_set():
                response = client.post(f"/predict/{NAME}", json={"samples": [GLAD]})
                responses.append((response.status_code, response.json()["version"]))

    threads = [threading.Thread(target=send_requests) for _ in range(4)]
    for thread in threads:
        thread.start()
    second = registered.version(registry, run, 2.0, evaluated=False)
    registry.set_alias(second, "champion")
    until(lambda: served.ask(GLAD).json()["version"] == 2)
    third = registered.version(registry, run, 3.0, evaluated=False)
    (model_versions.folder(third, "served") / network_files.WEIGHTS).write_bytes(registered.weights(4.0))
    registry.set_alias(third, "champion")
    until(lambda: NAME in served.client.get("/ready").json()["problems"])
    assert "/" not in served.client.get("/ready").json()["problems"][NAME]  # clients learn no folder of the machine
    assert served.ask(GLAD).json()["version"] == 2
    stop.set()
    for thread in threads:
        thread.join()
    assert {status for status, _ in responses} == {200}
    assert {version for _, version in responses} == {1, 2}


def test_a_tampered_variant_is_reported_while_the_champion_still_answers(
    small: Params, small_store: "Store", monkeypatch: pytest.MonkeyPatch
) -> None:
    version = registered.champion(small_store, small, 1.0, original=2.0)
    (model_versions.folder(version, "variants/original") / network_files.WEIGHTS).write_bytes(registered.weights(4.0))
    with LiveService(small.model_copy(update={"serving": SERVING})) as served:
        content = served.client.get("/datasets").json()["datasets"][NAME]
        assert content["champion"]["version"] == 1
        assert not content["variants"]
        assert "has changed since it was registered" in content["problem"]
        assert served.ask(GLAD).status_code == 200
        monkeypatch.setattr(bundle, "read", None)  # requests do not read the variant again
        assert served.ask(GLAD, variants=True).status_code == 503
        error = served.ask(GLAD, variants=True).json()["error"]
        assert "has changed since it was registered" in error
        assert str(paths.root()) not in error + content["problem"]


def test_answer_lists_values_unseen_in_training(small: Params, small_store: "Store") -> None:
    registered.champion(small_store, small)
    registered.grades_champion(small_store)
    with LiveService(registered.with_grades()) as served:
        seen, unseen = served.ask("word1 nobody", "nobody knows").json()["predictions"]
        assert "warnings" not in seen
        assert unseen["warnings"] == ["no word of this text is in the vocabulary"]
        rows = [{"hours": 5, "school": "north"}, {"hours": None, "school": "west"}]
        seen, unseen = served.ask(*rows, dataset="grades").json()["predictions"]
        assert "warnings" not in seen
        assert unseen["warnings"] == ["school=west: does not occur in the training data and is ignored"]


def change_labels() -> Params:
    """Change the labels of `notes` in params.yaml, and return the new parameters."""
    changed = params_with(f"datasets/{NAME}/labels", ["bad", "good"])
    write_params(paths.params(), changed.model_dump(mode="json", exclude_unset=True))
    return changed


def test_a_champion_with_different_labels_is_not_served(small: Params, small_store: "Store") -> None:
    registered.champion(small_store, small)
    changed = change_labels()
    with LiveService(changed) as served:
        answer = served.ask(GLAD)
        assert answer.status_code == 503
        assert "its labels are sad, glad, params.yaml says bad, good" in answer.json()["error"]


@pytest.mark.proves("A service that needs a restart to serve a new champion says so, and serves the old one until then")
def test_a_champion_for_labels_that_were_changed_after_the_start_needs_a_restart(
    served: LiveService, small_store: "Store"
) -> None:
    changed = change_labels()
    registered.champion_with_labels(small_store, "bad", "good")
    reason = "datasets.notes in params.yaml has changed since the service started; restart the service"
    until(lambda: reason in served.client.get("/ready").json()["problems"].get(NAME, ""))
    assert served.ask(GLAD).json()["version"] == 1
    with LiveService(changed) as restarted:
        assert restarted.ask(GLAD).json()["predictions"][0]["label"] == "good"


@pytest.mark.proves("A loaded champion keeps serving while the tracking database is missing")
def test_a_missing_database_does_not_remove_a_loaded_champion(served: LiveService, tmp_path: Path) -> None:
    database = paths.store() / "mlflow.db"
    database.rename(tmp_path / "away.db")
    until(lambda: "cannot be read" in served.client.get("/ready").json()["problems"].get(NAME, ""))
    assert served.ask(GLAD).status_code == 200
    (tmp_path / "away.db").rename(database)
    until(lambda: not served.client.get("/ready").json()["problems"])
    assert served.ask(GLAD).json()["version"] == 1
