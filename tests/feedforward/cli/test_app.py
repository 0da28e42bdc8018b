"""Mistakes on the command line and unusable folders: exit code and message are right, and nothing is written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mistakes
import pytest
import workspaces
from shell import Shell
from small_data import values, write_params, write_workspace

from feedforward.cli import output


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A checkout with data and an empty store; mistakes must not change it."""
    return workspaces.add_store(write_workspace(tmp_path_factory.mktemp("checkout")), empty_database)


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.suffix != ".lock" and path.is_file()}


@pytest.mark.parametrize(("arguments", "code", "message"), mistakes.COMMANDS, ids=lambda value: str(value)[:50])
def test_a_mistake_on_the_command_line_is_reported_in_one_line(
    shell: Shell, checkout: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, message: str
) -> None:
    monkeypatch.chdir(checkout)
    before = files(checkout)
    assert (shell.run(*arguments), message in shell.stderr) == (code, True), shell.stderr
    assert len(shell.stderr.splitlines()) == bool(message)
    assert files(checkout) == before


def test_a_loop_of_symbolic_links_is_reported_in_one_line(
    shell: Shell, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout)
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    assert shell.run("init", str(tmp_path / "loop.csv")) == 2
    assert len(shell.stderr.splitlines()) == 1


def test_a_message_contains_no_escape_sequence(capsys: pytest.CaptureFixture[str]) -> None:
    output.message("[bold]one[/bold]\x1b[2J\x9b31m é\nline")
    assert capsys.readouterr().err == "one?[2J?31m é\nline\n"


@pytest.mark.parametrize("command", [["lecture", "--out"], ["playground", "notes", "--out"], ["export"]])
def test_a_pipe_is_not_replaced_by_a_file(small_shell: Shell, tmp_path: Path, command: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert small_shell.run(*command, str(tmp_path / "pipe")) == 2
    assert "pipe: exists and is not a regular file; name another file" in small_shell.stderr
    assert (tmp_path / "pipe").is_fifo()


def test_help_exits_with_0(shell: Shell) -> None:
    assert shell.run("--help") == 0
    assert shell.run("train", "-h") == 0


@pytest.mark.parametrize(
    "arguments", [("params",), ("train",), ("predict", "notes", "a"), ("sync",), ("ui",), ("demo",)]
)
def test_error_names_the_folder_in_which_no_checkout_was_found(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shell.run(*arguments) == 2
    assert shell.stderr == f"params.yaml: not found in {tmp_path} or above; change into a checkout of the project\n"
    (tmp_path / "params.yaml").mkdir()
    assert shell.run(*arguments) == 2
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(tmp_path / "nowhere"))
    assert shell.run(*arguments) == 2
    assert f"not found in {tmp_path}/nowhere; set FEEDFORWARD_ROOT to a folder" in shell.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["params.yaml"]


def test_a_folder_that_cannot_be_created_is_reported_in_one_line(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(tmp_path / "params.yaml", values())
    for name in ("mlruns", ".locks"):
        (tmp_path / name).write_text("a file where a folder should be")
    monkeypatch.chdir(tmp_path)
    for arguments, message in (
        (["run"], "/.locks: File exists"),
        (["sync"], "/mlruns/artifacts: "),
        (["promote", "notes"], "/mlruns"),
    ):
        assert shell.run(*arguments) == 1
        assert message in shell.stderr
        assert "fix it, then run again" in shell.stderr
        assert len(shell.stderr.splitlines()) == 1
    monkeypatch.setenv("FEEDFORWARD_STORE", "/dev/null/store")
    assert shell.run("sync") == 1
    assert "/dev/null" in shell.stderr


def test_a_command_uses_a_relative_store_of_the_current_folder_in_all_its_processes(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_params(tmp_path / "params.yaml", values())
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    monkeypatch.setenv("FEEDFORWARD_ROOT", "..")
    monkeypatch.setenv("FEEDFORWARD_STORE", "store")
    assert shell.run("params") == 0
    assert os.environ["FEEDFORWARD_STORE"] == str(tmp_path / "sub" / "store")  # inherited by child processes
    assert Path(os.environ["FEEDFORWARD_ROOT"]).resolve() == tmp_path


@pytest.mark.slow
def test_installed_program_exits_with_the_exit_code_of_the_error(tmp_path: Path) -> None:
    write_params(tmp_path / "params.yaml", values(seeds=0, colour="red"))
    program = Path(sys.executable).parent / "feedforward"
    for arguments, code, line_count in (
        (["params"], 2, 2),  # two invalid keys
        (["predict", "notes", "a"], 2, 2),
        (["trian"], 2, 1),
        ([], 2, None),
    ):
        process = subprocess.run([program, *arguments], cwd=tmp_path, env=os.environ, capture_output=True, text=True)
        assert process.returncode == code
        assert "Traceback" not in process.stderr
        assert line_count in (None, len(process.stderr.splitlines())), process.stderr
    module = [sys.executable, "-m", "feedforward.cli"]
    process = subprocess.run([*module, "trian"], cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert process.stderr.startswith("feedforward: No such command 'trian'.")


@pytest.mark.slow
@pytest.mark.proves("`--json` prints valid JSON, whatever the encoding of the terminal is")
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_valid_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    plain = values()
    plain["datasets"]["notes"]["title"] = "Größe 😀"
    write_params(tmp_path / "params.yaml", plain)
    command = [Path(sys.executable).parent / "feedforward", "params", "--json"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout.decode(encoding))["datasets"]["notes"]["title"] == "Größe 😀"
