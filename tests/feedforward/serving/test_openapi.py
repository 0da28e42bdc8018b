"""The OpenAPI description is correct: schemathesis derives requests from it and checks every response against it."""

from typing import TYPE_CHECKING, Any

import pytest
import registered
from fuzzing import examples
from hypothesis import given
from live_service import LiveService

from feedforward.config.schema import Params

if TYPE_CHECKING:
    from schemathesis import GenerationMode

    from feedforward.tracking import Store

pytestmark = pytest.mark.slow


def test_responses_match_the_openapi_description(small: Params, small_store: "Store") -> None:
    from schemathesis import GenerationMode, openapi  # takes a second

    registered.champion(small_store, small, 1.0, dropout=2.0)
    registered.pictures_champion(small_store)
    registered.grades_champion(small_store)
    with LiveService(registered.with_grades()) as served:
        schema = openapi.from_url(f"http://127.0.0.1:{served.port}/openapi.json")
        operations = [result.ok() for result in schema.get_all_operations()]
        assert {operation.label for operation in operations} == {
            "POST /predict/{dataset}",
            "POST /incoming/{dataset}",
            *(f"GET /{name}" for name in ("datasets", "health", "ready", "metrics")),
        }
        for operation in operations:
            check_operation(operation, GenerationMode.POSITIVE)
            if operation.method == "post":
                check_operation(operation, GenerationMode.NEGATIVE)
        assert served.ask("word1").status_code == 200


def check_operation(operation: Any, mode: "GenerationMode") -> None:
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    @examples(60)
    @given(operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        # A schema cannot require that a text contains a word or that a string is an image, so 422 is a valid response.
        case.validate_response(case.call(), excluded_checks=[positive_data_acceptance])

    check()


@pytest.mark.proves("The examples of the OpenAPI description come from params.yaml and are accepted")
def test_openapi_examples_come_from_params_and_are_accepted(small: Params, small_store: "Store") -> None:
    registered.champion(small_store, small)
    with LiveService(small) as served:
        paths = served.client.get("/openapi.json").json()["paths"]
        for path in ("/predict/{dataset}", "/incoming/{dataset}"):
            schema = paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]
            for example in schema["examples"]:
                answer = served.client.post(path.replace("{dataset}", registered.NAME), json=example)
                assert answer.status_code == 200, answer.text
        # `schema` is now that of /incoming
        assert schema["examples"][0]["label"] in small.datasets[registered.NAME].labels
