"""Signed versions: which ones are refused with a key, and that the remedies in the messages work."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import registered
from registered import NAME
from shell import Shell
from small_data import values, write_params

from feedforward.config.schema import Params, load_params
from feedforward.core import atomic_files, paths
from feedforward.core.errors import DataError, ParamsError
from feedforward.promotion import audit_log, bundle, candidate, promote, signatures, version_bundles
from feedforward.promotion.evaluator import EvaluationFailed
from feedforward.promotion.promote import Refused
from feedforward.promotion.rollback import rollback
from feedforward.serving import mlflow_flavor, prediction
from feedforward.tracking import LoggedRun, model_version, model_versions
from feedforward.tracking.model_version import Version
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

UNSIGNED, FOREIGN = r"model\.sig: is missing, but promotion\.key", r"model\.sig: is not a valid signature of these"


def require(key: str | None) -> Params:
    """Write `promotion.key` into params.yaml, or none; return the params."""
    promotion = {"class_accuracy": 0.75, "holdout_models": 1} | ({"key": key} if key else {})
    write_params(paths.params(), values(promotion=promotion))
    return load_params()


@pytest.fixture
def key(params: Params, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> str:
    """A public key that is not yet in params.yaml; its private key signs from now on."""
    return new_key(tmp_path_factory.mktemp("keys") / "signer.pem", monkeypatch)


def new_key(path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(signatures.SIGNER, str(path))
    created, public, is_new = signatures.create()
    assert (created, is_new, path.stat().st_mode & 0o777) == (path, True, 0o600)
    assert signatures.create() == (path, public, False)
    return public


def served(version: Version) -> Path:
    return model_versions.folder(version, model_version.SERVED)


def replaced(version: Version, strength: float) -> Version:
    """Replace the version's network, with consistent digests, as anyone with write access to the store can."""
    folder = served(version)
    for name, content in registered.files(strength).items():
        (folder / name).write_bytes(content)
    described = atomic_files.read_json(folder / bundle.DESCRIPTION)
    described["weights_digest"] = registered.network(strength).weights_digest()
    atomic_files.write_json(folder / bundle.DESCRIPTION, described)
    entries = atomic_files.read_json(folder / bundle.MANIFEST)
    for name in entries:
        entries[name] = {"bytes": (folder / name).stat().st_size, "sha256": atomic_files.file_digest(folder / name)}
    atomic_files.write_json(folder / bundle.MANIFEST, entries)
    Registry().tag(version, {model_version.DIGEST: atomic_files.file_digest(folder / bundle.MANIFEST)})
    return registered.find_version(version.number)


def new_version(registry: Registry, run: LoggedRun, strength: float = 1.0) -> Version:
    version = registered.version(registry, run, strength, variants={"original": strength})
    registry.set_alias(version, "champion")
    return version


def test_a_forged_version_is_rejected_only_with_a_key(
    params: Params, small_store: "Store", key: str, small_shell: Shell
) -> None:
    require(key)
    registry = Registry()
    version = new_version(registry, registered.final_run(small_store, params))
    assert prediction.champion(NAME).variants["original"].description.variant == "original"
    forged = replaced(version, -2.0)
    with pytest.raises(DataError, match=FOREIGN):
        prediction.champion(NAME)
    with pytest.raises(DataError, match=FOREIGN):
        mlflow_flavor._load_pyfunc(str(served(forged)))
    assert (small_shell.run("predict", NAME, "word1"), small_shell.stdout) == (1, "")
    assert "do not use the version, promote the run again" in small_shell.stderr
    require(None)
    assert prediction.champion(NAME).served.network.weights_digest() == registered.network(-2.0).weights_digest()


def test_unsigned_versions_and_versions_signed_with_another_key_are_rejected(
    params: Params, small_store: "Store", key: str, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    registry, run = Registry(), registered.final_run(small_store, params)
    unsigned = new_version(registry, run)
    assert not (served(unsigned) / signatures.FILE).exists()
    require(new_key(tmp_path_factory.mktemp("foreign") / "signer.pem", monkeypatch))
    foreign = new_version(registry, run, 2.0)
    require(key)
    for version, problem in ((unsigned, UNSIGNED), (foreign, FOREIGN)):
        with pytest.raises(DataError, match=problem):
            bundle.read(served(version), version.tags["digest"])
    require(None)
    assert bundle.read(served(foreign), foreign.tags["digest"]).digest == foreign.tags["digest"]


@pytest.mark.slow
@pytest.mark.proves("With a new `promotion.key`, no other model replaces the unsigned champion without a comparison")
def test_gate_rejects_unsigned_versions_and_the_remedy_works(params: Params, small_store: "Store", key: str) -> None:
    registry, run = Registry(), registered.final_run(small_store, params)
    unsigned = registered.version(registry, run, 1.0, evaluated=False)
    audit_log.append(NAME, audit_log.PROMOTED, "before there was a key", unsigned)
    registry.set_alias(unsigned, "champion")
    signing = require(key)
    with pytest.raises(Refused, match=UNSIGNED):
        registered.evaluate(signing, run, unsigned)
    other = registered.version(registry, run, 0.5)
    with pytest.raises(EvaluationFailed, match=f"{UNSIGNED}.* --skip-comparison REASON` replaces it"):
        promote.conclude(signing, NAME, run, other, registry)
    assert registered.find_version().number == unsigned.number
    signed = registered.version(registry, run, 1.0)  # the same model, registered again
    promote.conclude(signing, NAME, run, signed, registry)
    assert prediction.champion(NAME).version.number == signed.number
    promote.conclude(signing, NAME, run, registered.version(registry, run, 2.0), registry)  # another model
    with pytest.raises(Refused, match=UNSIGNED):
        rollback(signing, NAME, unsigned.number, "worse")
    assert candidate._must_be_replaced(unsigned)  # so promoting the same run registers a new version
    assert not candidate._must_be_replaced(signed)


def test_a_variant_in_place_of_the_champion_is_rejected(params: Params, small_store: "Store", key: str) -> None:
    require(key)
    version = new_version(Registry(), registered.final_run(small_store, params))
    variant = model_versions.folder(version, "variants/original")
    folder = served(version)
    shutil.rmtree(folder)
    shutil.copytree(variant, folder)
    with pytest.raises(DataError, match=FOREIGN):
        bundle.read(folder, atomic_files.file_digest(variant / bundle.MANIFEST))


@pytest.mark.proves("With `promotion.key`, a signed variant is refused as the champion, whatever the variant is called")
def test_a_variant_called_served_in_place_of_the_champion_is_rejected(
    params: Params, small_store: "Store", key: str
) -> None:
    require(key)
    version = registered.version(
        Registry(), registered.final_run(small_store, params), 1.0, variants={"served": 2.0, "0": 2.0}
    )
    Registry().set_alias(version, "champion")
    for source, target in {"variants/served": "served", "variants/0": "holdout_models/0"}.items():
        folder = model_versions.folder(version, target)
        shutil.rmtree(folder)
        shutil.copytree(model_versions.folder(version, source), folder)
        digest = atomic_files.file_digest(folder / bundle.MANIFEST)
        with pytest.raises(DataError, match=FOREIGN):
            version_bundles.read(version, target, digest)
    forged = atomic_files.file_digest(served(version) / bundle.MANIFEST)
    Registry().tag(version, {model_version.DIGEST: forged})
    with pytest.raises(DataError, match=FOREIGN):
        prediction.champion(NAME)
    with pytest.raises(DataError, match=FOREIGN):
        mlflow_flavor._load_pyfunc(str(served(version)))


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[" * 9000, b'{"dsseEnvelope": {"signatures": [{"sig": "?"}]}}', bytes(2**17)]
)
def test_a_damaged_signature_is_rejected_with_a_one_line_message(
    params: Params, small_store: "Store", key: str, content: bytes
) -> None:
    require(key)
    version = new_version(Registry(), registered.final_run(small_store, params))
    (served(version) / signatures.FILE).write_bytes(content)
    with pytest.raises(DataError, match=r"model\.sig: ") as caught:
        bundle.read(served(version), version.tags["digest"])
    assert "\n" not in str(caught.value)


def test_signature_lists_all_files_in_the_openssf_format(tmp_path: Path, params: Params, key: str) -> None:
    require(key)
    digests = {"b": "2" * 64, "a": "1" * 64}
    content = signatures.sign("served", digests)
    assert content is not None
    envelope = json.loads(content)["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["subject"][0]["name"] == "version/served"  # earlier releases signed only the folder's name
    assert statement["predicateType"] == "https://model_signing/signature/v1.0"
    assert [entry["name"] for entry in statement["predicate"]["resources"]] == ["a", "b"]
    path = tmp_path / signatures.FILE
    signatures.check(path, content, "served", digests, key)
    changes = {**digests, "a": "3" * 64}, {"a": "1" * 64}
    for role, changed in (("variants/served", digests), *(("served", changed) for changed in changes)):
        with pytest.raises(DataError, match=FOREIGN):
            signatures.check(path, content, role, changed, key)


def test_invalid_keys_are_reported(
    params: Params, key: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ParamsError, match=r"promotion\.key: must be a public key as printed by `feedforward keys`"):
        require(key[:-4] + "x===")
    require(key)
    private = signatures.private_path()
    private.chmod(0o644)
    with pytest.raises(ParamsError, match="other users can read the private key; run chmod 600"):
        signatures.sign("served", {})
    private.chmod(0o600)
    private.write_text("no key")
    with pytest.raises(ParamsError, match="must be a PEM file with a P-256 private key"):
        signatures.sign("served", {})
    private.unlink()
    os.mkfifo(private, 0o600)
    with pytest.raises(ParamsError, match="must be a PEM file with a P-256 private key"):
        signatures.create()
    private.unlink()
    with pytest.raises(ParamsError, match=r"cannot be read .* or create a key with `feedforward keys`"):
        signatures.sign("served", {})
    new_key(tmp_path_factory.mktemp("other") / "signer.pem", monkeypatch)
    with pytest.raises(ParamsError, match=r"promotion\.key: is not the public key of .*`feedforward keys` prints that"):
        signatures.sign("served", {})
    monkeypatch.setenv(signatures.SIGNER, str(tmp_path / "signer.pem"))
    with pytest.raises(ParamsError, match="must name a file outside the workspace"):
        signatures.create()
    monkeypatch.setenv(signatures.SIGNER, "~nobody-of-this-name/signer.pem")
    with pytest.raises(ParamsError, match=r"the home folder is unknown, .* got '~nobody-of-this-name/signer\.pem'"):
        signatures.create()


@pytest.mark.proves("`keys` refuses a folder in which other users could replace the private key")
def test_a_private_key_that_other_users_could_replace_is_rejected(
    params: Params, key: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path_factory.mktemp("shared")
    shared.chmod(0o777)
    monkeypatch.setenv(signatures.SIGNER, str(shared / "signer.pem"))
    with pytest.raises(ParamsError, match=r"shared.*: other users can write to it .*; run chmod 700"):
        signatures.create()
    assert not list(shared.iterdir())
    shared.chmod(0o700)
    signatures.create()
    for stranger in (shared, shared / "signer.pem"):
        monkeypatch.setattr(Path, "stat", _owned_by_another(stranger))
        with pytest.raises(ParamsError, match=rf"{stranger.name}: belongs to another user; set FEEDFORWARD_SIGNER"):
            signatures.create()


def _owned_by_another(path: Path) -> Callable[..., os.stat_result]:
    stat = os.stat

    def stat_of_another_user(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        fields = list(stat(self, follow_symlinks=follow_symlinks))
        fields[4] = os.geteuid() + 1 if self == path else fields[4]
        return os.stat_result(fields)

    return stat_of_another_user


def test_folders_of_a_private_key_are_private_with_any_umask(
    params: Params, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    upper = tmp_path_factory.mktemp("home") / "a"
    monkeypatch.setenv(signatures.SIGNER, str(upper / "b" / "signer.pem"))
    before = os.umask(0)
    try:
        signatures.create()
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (upper, upper / "b", upper / "b" / "signer.pem")] == [
        0o700,
        0o700,
        0o600,
    ]


def test_keys_command_prints_the_line_for_params(key: str, small_shell: Shell) -> None:
    assert (small_shell.run("keys"), small_shell.stdout) == (0, f"key: {key}\n")
    assert small_shell.run("keys", "--json") == 0
    assert json.loads(small_shell.stdout) == {"key": key, "new": False, "private": str(signatures.private_path())}


@pytest.mark.slow
def test_killed_keys_command_leaves_no_unusable_key(
    params: Params, small_shell: Shell, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(signatures.SIGNER, str(tmp_path_factory.mktemp("home") / "signer.pem"))
    command = [sys.executable, "-m", "feedforward.cli", "keys"]
    killed = subprocess.run(command, env=os.environ | {"FAULT": "key.before_rename"}, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not signatures.private_path().exists()
    assert small_shell.run("keys") == 0
    assert small_shell.stdout.startswith("key: ")
    assert signatures.private_path().stat().st_mode & 0o777 == 0o600
