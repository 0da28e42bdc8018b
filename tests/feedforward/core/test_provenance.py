"""Git state, library versions, CPU and device, and the fingerprint of a run."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from git_repositories import commit, git

from feedforward.core import environment, provenance

INPUTS: dict[str, Any] = {
    "dataset": "notes",
    "data_digest": "ab" * 32,
    "resolved": {"l2": 0.001, "sizes": [16, 16]},
    "seed": 0,
    "protocol": "fair",
    "role": "replica",
    "code": "ef" * 32,
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    for name in ("params.yaml", "src/code.py", "unpacked/params.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    git(tmp_path, "add", "params.yaml", "src")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_a_clean_tree_has_a_commit_and_is_not_dirty(repository: Path) -> None:
    state = provenance.git_state(repository)
    assert state.commit is not None
    assert len(state.commit) == 40
    assert not state.dirty


@pytest.mark.parametrize(
    ("name", "dirty"), [("params.yaml", True), ("src/code.py", True), ("src/new.py", True), ("result.zip", False)]
)
def test_a_change_and_new_code_make_the_tree_dirty(repository: Path, name: str, dirty: bool) -> None:
    (repository / name).write_text("x = 2\n")
    assert provenance.git_state(repository).dirty == dirty


def test_files_written_by_stages_do_not_make_the_tree_dirty(repository: Path) -> None:
    for name in ("dvc.lock", "reports/metrics.json"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("{}")
    git(repository, "add", "dvc.lock", "reports")
    assert not provenance.git_state(repository).dirty


def test_a_folder_that_is_unpacked_inside_another_repository_has_no_commit(repository: Path) -> None:
    assert provenance.git_state(repository / "unpacked") == provenance.GitState(None, False)
    git(repository, "add", "unpacked")
    assert provenance.git_state(repository / "unpacked").commit is not None


def test_there_is_no_commit_outside_a_git_repository(tmp_path: Path) -> None:
    assert provenance.git_state(tmp_path) == provenance.GitState(None, False)
    assert provenance.git_state(tmp_path / "absent").commit is None


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose hook started this process; git sets the variables in linked worktrees."""
    folder = tmp_path / "of-the-hook"
    folder.mkdir()
    commit(folder, "first")
    monkeypatch.setenv("GIT_DIR", str(folder / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(folder / ".git" / "index"))
    return folder


def test_the_repository_of_a_git_hook_is_not_taken_for_that_of_the_workspace(repository: Path, hook: Path) -> None:
    environment.prepare()
    assert provenance.git_state(repository) == provenance.GitState(git(repository, "rev-parse", "HEAD"), False)
    assert git(hook, "log", "--format=%s") == "first"


@pytest.mark.slow
@pytest.mark.proves("Tests that run in a git hook do not change the repository of the hook")
def test_tests_do_not_change_the_repository_of_a_git_hook(hook: Path) -> None:
    config = (hook / ".git" / "config").read_text()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "a_clean_tree"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        limit = threading.Timer(120, process.kill)
        limit.start()
        result = process.stdout.readline()
        limit.cancel()
        process.kill()  # the test is done; on a busy machine such a process once needed minutes to exit
    assert result.startswith(". "), result
    assert git(hook, "log", "--format=%s") == "first"
    assert (hook / ".git" / "config").read_text() == config


def test_a_fingerprint_imports_neither_tensorflow_nor_keras_and_versions_match() -> None:
    code = (  # prints which of the heavy libraries were imported
        "import sys; from feedforward.core import provenance as p;"
        " from feedforward.core.code_digest import code_digest;"
        " digest = code_digest(('feedforward.training.trainer',));"
        " p.fingerprint(dataset='', data_digest='', resolved={}, seed=0, protocol='fair', role='final', code=digest);"
        " print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert process.stdout.strip() == "[]"
    assert provenance.installed_version("keras").startswith("3.")
    assert provenance.installed_version("no-such-library") == "absent"
    assert provenance.requirement("numpy") == f"numpy=={provenance.installed_version('numpy')}"
    name, _, version = provenance.requirement("tensorflow").partition("==")
    assert name in ("tensorflow", "tensorflow-cpu")
    assert version == provenance.installed_version("tensorflow")


def test_cpu_kind_lists_instruction_sets_and_digests_are_short() -> None:
    kind = provenance.cpu_kind()
    assert kind["machine"]
    assert {type(kind[unit]) for unit in ("avx2", "avx512", "amx")} == {bool}
    assert len(provenance.cpu_digest()) == 12
    assert len(provenance.host_digest()) == 12


def test_fingerprint_does_not_depend_on_the_order_of_inputs() -> None:
    reordered = INPUTS | {"resolved": dict(reversed(INPUTS["resolved"].items()))}
    assert provenance.fingerprint(**INPUTS) == provenance.fingerprint(**reordered)


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": "other"},
        {"data_digest": "cd" * 32},
        {"resolved": {"l2": 0.002, "sizes": [16, 16]}},
        {"resolved": {"l2": 0.001, "sizes": [16, 4]}},
        {"seed": 1},
        {"seed": None},
        {"protocol": "lecture"},
        {"role": "final"},
        {"device": "NVIDIA H200"},
        {"code": "01" * 32},
    ],
)
def test_every_input_that_affects_the_weights_changes_the_fingerprint(change: dict[str, Any]) -> None:
    assert provenance.fingerprint(**INPUTS | change) != provenance.fingerprint(**INPUTS)


def test_onednn_setting_changes_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    without_onednn = provenance.fingerprint(**INPUTS)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    assert provenance.fingerprint(**INPUTS) != without_onednn


@pytest.mark.proves("A fingerprint names the GPU that is used, not every GPU in the machine")
@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, "NVIDIA A100"),
        ("0", "NVIDIA A100"),
        ("1", "NVIDIA T4"),
        ("1,0", "NVIDIA T4"),
        ("GPU-bbbb", "NVIDIA T4"),
        ("7", "cpu"),
        ("", "cpu"),
        ("-1", "cpu"),
    ],
)
def test_device_is_the_first_visible_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: str
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '0, GPU-aaaa-1, NVIDIA A100\\n1, GPU-bbbb-2, NVIDIA T4\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(provenance, "requirement", lambda name: f"{name}==2.21")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    provenance._gpus.cache_clear()
    assert provenance.device() == expected
    provenance._gpus.cache_clear()
