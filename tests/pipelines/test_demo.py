"""`feedforward demo` can be interrupted and rerun; DVC at the top level ignores the demo's workspace."""

import json
import re
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import dvc_projects
import pytest
from clean_environment import environment
from ruamel.yaml import YAML

from faults import ROOT, workspace
from faults.workspace import DVC, FEEDFORWARD, NAME, Completed
from feedforward.config.schema import load_params
from pipelines import demo, interruption

DEMO = (*FEEDFORWARD, "demo")


def make_checkout(folder: Path) -> Path:
    """Copy the committed files that the demo needs, reduced to one dataset, one variant and one epoch."""
    workspace.copy_code(folder, "dvc.yaml", ".dvcignore", "params.yaml", "LICENSE")
    dvc_projects.init(folder, (ROOT / ".dvc" / "config").read_text())
    (folder / "demo").mkdir()
    params = workspace.tiny_params()
    params["datasets"][NAME]["demo"] = True
    workspace.change_params(folder / "demo", params)
    return folder


def run(folder: Path, *command: str, **variables: str) -> Completed:
    return subprocess.run(
        command, cwd=folder, env=environment(**variables), capture_output=True, text=True, check=False
    )


def dvc(folder: Path, *arguments: str) -> Completed:
    return run(folder, *DVC, *arguments, HOME=str(folder / "home"))


def test_demo_has_the_same_stages_as_the_checkout(tmp_path: Path) -> None:
    folder = demo.prepare(make_checkout(tmp_path))
    yaml = YAML(typ="safe", pure=True)
    demo_stages, checkout_stages = (yaml.load((path / "dvc.yaml").read_text())["stages"] for path in (folder, tmp_path))
    assert demo_stages == checkout_stages
    for path in (path for stage in demo_stages.values() for path in stage["deps"] if path.startswith(demo.CODE)):
        assert (folder / path).samefile(tmp_path / path)
    assert demo.prepare(tmp_path) == folder  # a second call is allowed
    assert (folder / "LICENSE").read_bytes() == (tmp_path / "LICENSE").read_bytes()
    load_params(folder / "params.yaml")


@pytest.mark.proves("The pages of the demo name commands that work in the checkout")
@pytest.mark.proves("`dvc status` at the top level does not include the demo")
@pytest.mark.proves("Compiled files neither cause the demo's stages to run again nor prevent its export")
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_interrupted_demo_can_be_rerun_and_is_ignored_by_dvc_at_the_top_level(
    tmp_path: Path, prefect_server_address: str
) -> None:
    folder = make_checkout(tmp_path)
    job = subprocess.Popen(
        DEMO, cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while not list((folder / "demo" / ".locks").glob("train-*.holder")) and job.poll() is None:
        time.sleep(0.1)
    job.send_signal(signal.SIGTERM)  # only to this process, which forwards it to its children
    errors = job.communicate(timeout=60)[1]
    assert job.returncode == interruption.EXIT_CODE, errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == interruption.MESSAGE

    # The first job started its own Prefect server; this one uses a running one. FEEDFORWARD_ROOT points to the
    # checkout, but the stages must use the demo.
    done = run(folder, *DEMO, PREFECT_API_URL=prefect_server_address, FEEDFORWARD_ROOT=".")
    assert done.returncode == 0, done.stdout + done.stderr
    page = (folder / "demo" / "reports" / "comparison" / "index.html").read_text(encoding="utf-8")
    assert "<code>make demo</code>" in page
    lecture = run(folder, *FEEDFORWARD, "lecture", "--out", "lecture.html", FEEDFORWARD_ROOT="demo")
    assert lecture.returncode == 0, lecture.stderr
    lecture_page = (folder / "lecture.html").read_text(encoding="utf-8")
    prefixes = re.findall(r"(\S*) ?\bfeedforward (?:lecture|sweep|train)\b", lecture_page)
    assert len(prefixes) >= 2
    assert all(prefix.endswith("FEEDFORWARD_ROOT=demo") for prefix in prefixes), prefixes
    assert "runs: `FEEDFORWARD_ROOT=demo feedforward ui`" in done.stderr.replace("\n", " ")
    assert "change demo/params.yaml and run again" in done.stderr.replace("\n", " ")

    status = dvc(folder, "status", "--json")
    assert status.returncode == 0, status.stderr
    assert "demo" not in status.stdout
    assert json.loads(status.stdout)
    for command in ("metrics", "plots"):
        shown = dvc(folder, command, "show")
        assert "demo" not in shown.stdout + shown.stderr, command
    assert not (folder / "home").exists(), "DVC wrote to the home directory"
    compiled = folder / "src" / "feedforward" / "training" / "__pycache__" / "trainer.cpython-399.pyc"
    compiled.parent.mkdir(exist_ok=True)
    compiled.touch()
    status = dvc(folder / "demo", "status", "--json")
    assert json.loads(status.stdout) == {}, status.stdout + status.stderr
    done = run(folder, *FEEDFORWARD, "export", "result.zip", FEEDFORWARD_ROOT="demo")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(folder / "result.zip") as archive:
        assert "LICENSE" in archive.namelist()

    done = run(
        folder,
        *(*FEEDFORWARD, "sweep", NAME, "l2=0.01", "--confirm", "0"),
        FEEDFORWARD_ROOT="demo",
        PREFECT_API_URL=prefect_server_address,
    )
    assert done.returncode == 0, done.stderr
    assert "runs: `FEEDFORWARD_ROOT=demo feedforward ui`" in done.stderr.replace("\n", " ")
