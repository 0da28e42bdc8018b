"""The environment variables for DVC, Prefect and other tools are set unless the user has already set them."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from feedforward.core.errors import ParamsError
from pipelines import environment

ROOT = Path(__file__).parents[2]


@pytest.fixture
def variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment variables of this process, nearly none at first; `apply` adds to them."""
    (tmp_path / "params.yaml").touch()
    values = {"FEEDFORWARD_ROOT": str(tmp_path), "PATH": "/usr/bin"}
    monkeypatch.setattr(os, "environ", values)
    return values


@pytest.mark.proves("DVC and Prefect keep their state inside the checkout, readable only by the user")
def test_state_is_private_and_inside_the_checkout(variables: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    environment.apply()
    assert variables["PREFECT_HOME"] == str(tmp_path / ".prefect")
    site = Path(variables["DVC_SITE_CACHE_DIR"])
    assert site.is_relative_to(tmp_path)
    assert stat.S_IMODE(site.stat().st_mode) == 0o700


@pytest.mark.proves("Prefect does not log the password in PREFECT_API_URL with the addresses of its pages")
def test_prefect_does_not_show_the_password_of_its_server(variables: dict[str, str]) -> None:
    environment.apply()
    assert "PREFECT_UI_URL" not in variables
    variables["PREFECT_API_URL"] = "https://user:password1@prefect.example/api/"
    environment.apply()
    assert variables["PREFECT_UI_URL"] == "https://prefect.example"


@pytest.mark.proves("A job runs only the code of its own checkout")
def test_the_code_of_another_checkout_is_not_run(variables: dict[str, str], tmp_path: Path) -> None:
    for name in ("src", "pipelines"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    environment.apply()  # a copy of the code that is running, as in `dvc exp run --temp`
    assert variables["PREFECT_HOME"] == str(tmp_path / ".prefect")
    changed = tmp_path / "src" / "feedforward" / "models" / "metrics.py"
    changed.write_text("raise SystemExit")
    with pytest.raises(ParamsError, match=rf"^{changed}: differs from {ROOT}.*; run `make` or .venv/bin/feedf"):
        environment.apply()
    changed.unlink()
    with pytest.raises(ParamsError, match=rf"{changed}: differs"):
        environment.apply()


def test_variables_set_by_the_user_are_kept(variables: dict[str, str], tmp_path: Path) -> None:
    variables |= {"PREFECT_HOME": "/elsewhere", "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    environment.apply()
    assert variables["PREFECT_HOME"] == "/elsewhere"
    assert variables["DVC_SITE_CACHE_DIR"] == str(tmp_path / "site")


def test_programs_of_this_python_come_first_on_path(variables: dict[str, str]) -> None:
    environment.apply()
    environment.apply()
    assert variables["PATH"] == f"{Path(sys.executable).parent}{os.pathsep}/usr/bin"


def test_loopback_addresses_bypass_proxies(variables: dict[str, str]) -> None:
    variables |= {"no_proxy": "localhost,.internal"}
    environment.apply()
    assert variables["no_proxy"] == "localhost,.internal,127.0.0.1,::1"
    assert variables["NO_PROXY"] == "127.0.0.1,localhost,::1"


def test_a_socks_proxy_that_prefects_client_cannot_use_is_dropped(variables: dict[str, str]) -> None:
    variables |= {"ALL_PROXY": "socks5://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    environment.drop_unusable_proxies()
    assert "ALL_PROXY" not in variables
    assert variables["https_proxy"] == "http://127.0.0.1:9"


@pytest.mark.slow
@pytest.mark.proves("DVC and Prefect keep their state inside the checkout, readable only by the user")
def test_dvc_commands_run_by_hand_keep_their_state_inside_the_checkout(tmp_path: Path) -> None:
    """Only the committed configuration applies, both in the top folder and in a subfolder."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text((ROOT / ".dvc" / "config").read_text())
    (tmp_path / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
    (tmp_path / "params.yaml").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "home").mkdir()
    for folder in (tmp_path, tmp_path / "data"):
        variables = {"HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"]}
        command = [sys.executable, "-c", "import dvc.repo; print(dvc.repo.Repo('.').site_cache_dir)"]
        done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=True)
        assert (folder / done.stdout.strip()).is_relative_to(folder / ".dvc-state")
        assert (folder / done.stdout.strip()).is_dir()
    assert not list((tmp_path / "home").iterdir())


@pytest.mark.slow
def test_an_experiment_in_a_temporary_copy_works_with_the_documented_variable(tmp_path: Path) -> None:
    assert 'DVC_SITE_CACHE_DIR="$PWD/.dvc-state"' in (ROOT / "docs" / "operations.md").read_text()
    (tmp_path / "home").mkdir()
    variables = {
        "HOME": str(tmp_path / "home"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }

    def run(*command: str, **added: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=variables | added, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("git", "init", "--quiet")
    run("git", "config", "user.email", "a@example.org")
    run("git", "config", "user.name", "a")
    run("dvc", "init", "--quiet")
    (tmp_path / ".dvc" / "config").write_text((ROOT / ".dvc" / "config").read_text())
    (tmp_path / ".gitignore").write_text(".dvc-state/\nhome/\n/out\n")
    (tmp_path / "params.yaml").write_text("x: 1\n")
    (tmp_path / "dvc.yaml").write_text("stages: {a: {cmd: cp params.yaml out, params: [x], outs: [out]}}\n")
    run("dvc", "repro")
    run("git", "add", "--all")
    run("git", "commit", "--quiet", "--message", "a")
    done = run("dvc", "exp", "run", "--temp", "-S", "x=2", DVC_SITE_CACHE_DIR=str(tmp_path / ".dvc-state"))
    assert "Ran experiment" in done
