"""Secrets are masked in messages, addresses, headers and logged values."""

from pathlib import Path

import pytest
from small_data import values, write_params

from feedforward.config.schema import load_params
from feedforward.core.redaction import MASK, allow, has_credentials, is_secret_name, redact, redact_json, redact_values

CANARY = "c4n4ry/with+signs&more"


@pytest.mark.parametrize(
    "name",
    [
        *("API_KEY", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "hf_token", "DB-PASSWORD", "store.secret"),
        *("PGPASSWORD", "DB_PASS", "GITHUB_PAT"),
        *("DB_PASSWORD1", "MYSECRET", "PRIVATEKEY", "JWT", "ACCESSKEY"),
    ],
)
def test_names_of_secrets_are_recognized(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    ["PWD", "monkey", "num_words", "KEYBOARD", "tokenizer", "learning_rate", "path", "bypass", "AUTHOR", "secretary"],
)
def test_other_names_are_not_taken_for_secrets(name: str) -> None:
    assert not is_secret_name(name)


def test_a_secret_from_the_environment_is_masked_anywhere_in_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTREAM_TOKEN", CANARY)
    assert redact(f"asked with {CANARY}, refused") == f"asked with {MASK}, refused"
    assert redact("at https://host/x?a=c4n4ry%2Fwith%2Bsigns%26more") == f"at https://host/x?a={MASK}"


def test_short_values_are_not_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORT_KEY", "a")
    assert redact("a banana") == "a banana"


@pytest.mark.parametrize(
    ("address", "redacted"),
    [
        ("http://user:pa@ss@host:5000/path", f"http://{MASK}@host:5000/path"),
        ("postgresql://me:secret@db/mlflow", f"postgresql://{MASK}@db/mlflow"),
        ("postgresql://me:sec/ret@db/mlflow", f"postgresql://{MASK}@db/mlflow"),
        ("https://host:8080/mail@example.org", "https://host:8080/mail@example.org"),
        (
            "https://s3/x?X-Amz-Signature=abc&part=2&api_key=def#end",
            f"https://s3/x?X-Amz-Signature={MASK}&part=2&api_key={MASK}#end",
        ),
        ("https://host/mail@example.org", "https://host/mail@example.org"),
        ("nothing: to hide", "nothing: to hide"),
        ("postgresql://u:p@ss/word@127.0.0.1:9/db", f"postgresql://{MASK}@127.0.0.1:9/db"),
        ("postgresql://db:5432/mlflow?mail=a@b", "postgresql://db:5432/mlflow?mail=a@b"),
        ("https://me:secret@host/mail@example.org", f"https://{MASK}@host/mail@example.org"),
        *(
            (f"https://h.example/a?{name}=abc", f"https://h.example/a?{name}={MASK}")
            for name in ("sslpassword", "pass", "passphrase", "accesskey", "auth", "jwt", "x-auth", "PASS")
        ),
        ("https://h.example/a#access_token=abc", f"https://h.example/a#access_token={MASK}"),
        *(
            (f"https://h.example/a?{field}", f"https://h.example/a?{field}")
            for field in ("author=abc", "compass=abc", "passage=3", "sort_keys=abc", "monkey=abc", "design=abc")
        ),
    ],
)
def test_credentials_in_addresses_are_masked(address: str, redacted: str) -> None:
    assert redact(address) == redacted
    assert has_credentials(address) == (redacted != address)


@pytest.mark.parametrize(
    "header", ["Authorization: Bearer {}", "authorization: Basic {}", "{{'Authorization': 'Bearer {}', 'a': 1}}"]
)
def test_credentials_in_headers_are_masked(header: str) -> None:
    assert redact(header.format("eyJhbGci.J9-_=")) == header.format(MASK)


def test_values_with_the_name_of_a_secret_are_masked_entirely() -> None:
    assert redact_values({"upload.token": "x", "epochs": 5}) == {"upload.token": MASK, "epochs": "5"}


@pytest.mark.proves(
    "The name of a variant or dataset is not redacted, even if a variable that looks secret has the same value"
)
def test_names_from_params_are_not_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    allow(["original"])
    monkeypatch.setenv("SORT_KEY", "original")
    monkeypatch.setenv("ROLE_TOKEN", "replica")
    monkeypatch.setenv("API_TOKEN", "s3cr3t-value")
    assert redact("original replica s3cr3t-value") == f"original replica {MASK}"
    monkeypatch.setenv("SORT_KEY", "origin")  # a prefix of a name from params
    assert redact_values({"variant": "original"}) == {"variant": "original"}


@pytest.mark.proves("Keys and values of params.yaml are not redacted, except in addresses")
def test_texts_of_params_are_not_redacted_but_addresses_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = values(mirrors=["https://host.example/s3cr3t-path"])
    small["datasets"]["tones"]["training"]["optimizer"] = {
        "name": "adam",
        "decay": {"kind": "exponential", "factor": 0.9},
    }
    write_params(tmp_path / "params.yaml", small)
    load_params(tmp_path / "params.yaml")
    monkeypatch.setenv("SORT_KEY", "exponential")
    monkeypatch.setenv("GROUP_KEY", "dropout_rate")
    monkeypatch.setenv("PATH_TOKEN", "s3cr3t-path")
    assert redact_values({"decay_kind": "exponential"}) == {"decay_kind": "exponential"}
    assert redact("dropout_rate: 0.5  # s3cr3t-path") == f"dropout_rate: 0.5  # {MASK}"


def test_keys_and_numbers_in_json_are_not_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SORT_KEY", "temperature")
    monkeypatch.setenv("API_TOKEN", "0.4321")
    text = '{"note": "the temperature, \\"kept\\"", "temperature": 0.4321, "pairs": [[0.43210, null]]}'
    redacted = f'{{"note": "the {MASK}, \\"kept\\"", "temperature": 0.4321, "pairs": [[0.4321, null]]}}'
    assert redact_json(text) == redacted
    assert redact_json("0.4321") == "0.4321"
    assert redact_json("the temperature is 0.4321") == f"the {MASK} is {MASK}"
    assert redact_json('"temperature"') == f'"{MASK}"'
