"""The environment that every process sets up: its programs on PATH, loopback without a proxy, a valid time zone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from feedforward.core import environment, logs, paths
from feedforward.core.errors import ParamsError


@pytest.mark.parametrize("no_proxy", [None, "", "intranet.example", "localhost, intranet.example"])
def test_loopback_never_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch, no_proxy: str | None) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        if no_proxy is not None:
            monkeypatch.setenv(name, no_proxy)
    environment.prepare()
    environment.prepare()  # a second call must add nothing
    for name in ("NO_PROXY", "no_proxy"):
        hosts = os.environ[name].split(",")
        assert set(environment.LOOPBACK) <= set(hosts)
        assert len(hosts) == len(set(hosts))
        assert ("intranet.example" in hosts) == ("intranet" in (no_proxy or ""))


def test_programs_of_the_running_python_come_first_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    bin_folder = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join(["/usr/bin", bin_folder, "/bin"]))
    environment.prepare()
    assert os.environ["PATH"].split(os.pathsep) == [bin_folder, "/usr/bin", "/bin"]


@pytest.mark.parametrize(
    ("zone", "expected"), [("JST-9", "UTC"), ("Foo/Bar", "UTC"), ("Europe/Berlin", "Europe/Berlin")]
)
def test_an_invalid_time_zone_becomes_utc_with_a_warning(zone: str, expected: str) -> None:
    script = "import os; from feedforward.core import environment; environment.prepare(); print(os.environ['TZ'])"
    variables = {**os.environ, "TZ": zone}
    process = subprocess.run([sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=True)
    assert process.stdout.strip() == expected
    assert ("TZ: must be a time zone" in process.stderr) == (zone != expected)


def test_an_unknown_matplotlib_backend_is_ignored() -> None:
    script = "from feedforward.core import environment; environment.prepare(); import matplotlib.figure"
    variables = {**os.environ, "MPLBACKEND": "nonsense"}
    subprocess.run([sys.executable, "-c", script], env=variables, check=True)


@pytest.mark.proves("A checkout works in a folder of any name, or the name is refused in one line")
@pytest.mark.parametrize("name", ["a%20b", "a?b", "a#b", 'a"b'])
def test_a_workspace_path_that_mlflow_misreads_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "params.yaml").touch()
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(tmp_path / name))
    with pytest.raises(ParamsError, match="the path of a workspace must not contain"):
        paths.root()


def test_child_processes_inherit_the_log_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(logs.VARIABLE, "nonsense")
    logs.configure()
    assert os.environ[logs.VARIABLE] == "WARNING"
    logs.configure(1)
    script = "from feedforward.core import logs; import logging; logs.configure(); " + (
        "logging.getLogger('feedforward.x').info('seen'); logging.getLogger('feedforward.x').debug('hidden')"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "INFO" in process.stderr
    assert "feedforward.x: seen" in process.stderr
    assert "hidden" not in process.stderr
