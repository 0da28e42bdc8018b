"""Checks across the whole project: imports, documented commands, lock files, forbidden strings and telemetry."""

import functools
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from heavy_libraries import HEAVY_LIBRARIES
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
CHECKOUT = r"(?<!\w)" + re.escape(str(ROOT)) + r"(?!\w)"
# Programs in the README that this project does not install
SYSTEM_PROGRAMS = {"cd", "git", "docker", "curl", "export", "source", "python3"}


def output(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command in a wide terminal without colors, check that it succeeds, and return its output."""
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@functools.cache
def help_of(*command: str) -> str:
    return output(*command, "--help")


@functools.cache
def feedforward_commands() -> set[str]:
    """Return the commands of `feedforward`."""
    return set(re.findall(r"^[ │]+([a-z][a-z-]*)  ", help_of("feedforward"), re.MULTILINE))


@functools.cache
def make_targets() -> set[str]:
    """Return the targets that `make` lists."""
    return set(re.findall(r"^  make ([a-z-]+) +\S", output("make", "--no-print-directory"), re.MULTILINE))


@functools.cache
def text_files() -> dict[str, str]:
    """Return the content of each text file that git tracks or does not ignore, by name."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = output("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    texts = {}
    for name in filter(None, names):
        path = ROOT / name
        if path.is_file():
            try:
                texts[name] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
    return texts


# --- built pages and imports -----------------------------------------------------------------


def test_built_pages_are_committed_only_as_examples() -> None:
    pages = [name for name in text_files() if name.endswith(".html")]
    templates = [name for name in pages if "/templates/" in name or name.startswith(".dvc/plots/")]
    assert [name for name in pages if not name.startswith("docs/examples/")] == templates


def test_command_line_help_imports_no_heavy_library() -> None:
    script = f"""
import sys
from feedforward.cli import app as cli
sys.argv = ["feedforward", "--help"]
try:
    cli.main()
except SystemExit:
    pass
print("HEAVY", *sorted({HEAVY_LIBRARIES!r} & set(sys.modules)))
"""
    assert output(sys.executable, "-c", script).splitlines()[-1] == "HEAVY"


@pytest.mark.slow
def test_both_packages_import_from_any_folder(tmp_path: Path) -> None:
    assert output(sys.executable, "-c", "import feedforward, pipelines", cwd=tmp_path) == ""


# --- documented commands ----------------------------------------------------------------------


def test_make_lists_every_target_and_can_dry_run_it() -> None:
    declared = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert declared is not None
    assert set(declared[1].split()) == make_targets()
    output("make", "--dry-run", *make_targets())


@pytest.mark.slow
def test_every_feedforward_command_in_the_makefile_exists() -> None:
    for command in re.findall(r"^\t\$\(BIN\)/feedforward ([a-z-]+)", (ROOT / "Makefile").read_text(), re.MULTILINE):
        assert command in feedforward_commands(), f"Makefile: there is no `feedforward {command}`"


def words_after(program: str, text: str) -> set[str]:
    """Return the words that follow `program` in backticks, after `$ `, or in the configuration of CI and hooks."""
    start = r"(?:`|^\$ |\brun: |\bentry: |^ *step )"
    return set(re.findall(rf"{start}{program} ([a-z][a-z-]+)\b(?![=:])", text, re.MULTILINE))


def test_make_targets_named_in_files_exist() -> None:
    unknown = {
        name: missing for name, text in text_files().items() if (missing := words_after("make", text) - make_targets())
    }
    assert not unknown


@pytest.mark.slow
def test_feedforward_commands_named_in_files_exist() -> None:
    unknown = {
        name: missing
        for name, text in text_files().items()
        if (missing := words_after("feedforward", text) - feedforward_commands())
    }
    assert not unknown


def readme_commands() -> list[str]:
    """Return the commands after `$ ` in the README's console blocks; a backslash at the end continues a line."""
    blocks = re.findall(r"^```console\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+#.*", "", line[2:]).strip() for line in lines if line.startswith("$ ")]


@pytest.mark.slow
@pytest.mark.parametrize("command", readme_commands())
def test_every_command_in_the_readme_exists_with_its_options(command: str) -> None:
    program, *words = shlex.split(re.sub(r"^(\w+=\S+\s+)+", "", command))
    if program == "make":
        assert {word for word in words if "=" not in word} <= make_targets()
    elif program not in SYSTEM_PROGRAMS:
        assert shutil.which(program, path=str(BIN)), f"{program}: not a program of this project"
        text = help_of(program, *itertools.takewhile(lambda word: not word.startswith("-"), words))
        options = {word.split("=")[0] for word in words if word.startswith("-")}
        assert not [option for option in options if option not in text]


# --- lock files -------------------------------------------------------------------------------


@functools.cache
def locked_versions(name: str) -> dict[str, set[str]]:
    """Return the versions of each package in requirements/NAME.txt: several if it depends on Python or the platform."""
    versions: dict[str, set[str]] = {}
    for package, version in re.findall(
        r"^([\w.-]+)==(\S+)", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE
    ):
        versions.setdefault(canonicalize_name(package), set()).add(version)
    return versions


def requirements_by_lock_file() -> dict[str, list[str]]:
    """Return the requirements in pyproject.toml that each file in requirements/ locks, as `make lock` combines them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    base, extra = project["project"]["dependencies"], project["project"]["optional-dependencies"]
    return {
        "cpu": base + extra["cpu"],
        "gpu": base + extra["gpu"],
        "dev": base + extra["cpu"] + extra["s3"] + extra["dev"],
        **project["dependency-groups"],
    }


@pytest.mark.parametrize("name", requirements_by_lock_file())
def test_lock_file_satisfies_pyproject(name: str) -> None:
    for line in requirements_by_lock_file()[name]:
        requirement = Requirement(line)
        versions = locked_versions(name).get(canonicalize_name(requirement.name), set())
        assert versions, f"requirements/{name}.txt has no {requirement}; run `make lock`"
        assert all(requirement.specifier.contains(v) for v in versions), (
            f"{name}: {requirement} has {versions}; run `make lock`"
        )


@pytest.mark.parametrize("name", requirements_by_lock_file())
def test_lock_files_have_the_versions_of_dev_and_a_hash_for_each_package(name: str) -> None:
    for package, versions in locked_versions(name).items():
        assert versions == locked_versions("dev").get(package, versions), f"{name}: {package}; run `make lock`"
    text = (ROOT / f"requirements/{name}.txt").read_text()
    pins = re.findall(r"^[\w.-]+==.*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^\S", text, re.MULTILINE))


# --- forbidden strings ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("description", "pattern"),
    [
        ("the address of a package index", r"(?<!no-emit-)index[-_]url|https?://[^\s\"]*/(simple|packages)/"),
        # o{2}: otherwise, this line would match itself
        ("somebody's home folder", r"(?<![\w.~$}])/(home|Users)/\w+|(?<![\w.~$}])/ro{2}t/"),
        ("the folder of this checkout", CHECKOUT),
    ],
)
def test_no_file_contains_a_forbidden_string(description: str, pattern: str) -> None:
    if pattern == CHECKOUT and len(ROOT.parts) < 3:
        pytest.skip(f"{ROOT} is a path that any file may contain")
    matches = [f"{name}: {match[0]}" for name, text in text_files().items() for match in re.finditer(pattern, text)]
    assert not matches, f"{description}: {matches[:10]}"


def test_telemetry_is_off() -> None:
    config = (ROOT / ".dvc/config").read_text()
    assert "analytics = false" in config
    assert "check_update = false" in config
    for name in ["Makefile", "Dockerfile"]:
        text = (ROOT / name).read_text()
        for variable in [
            "DO_NOT_TRACK",
            "GX_ANALYTICS_ENABLED",
            "MLFLOW_DISABLE_TELEMETRY",
            "PREFECT_SERVER_ANALYTICS_ENABLED",
        ]:
            assert variable in text, f"{name}: {variable}"
