"""Row 35 of docs/reliability.md: the disk on which the service stores samples from users is full.

`python -m faults.inbox` runs `check` in the workspace that FEEDFORWARD_ROOT names.
"""

import os
import shutil
import subprocess
import sys

import live_service
import registered
import small_data

from faults import ROOT
from faults.context import Context, environment
from faults.disk import UNSHARE
from feedforward import tracking
from feedforward.config.schema import load_params
from feedforward.core import append_only_log, paths

SAMPLES = 20  # how many samples are sent while the disk is full


def fill_disk(context: Context) -> str:
    """Row 35: prepare a workspace; in a separate process, mount a small file system in it and run `check`."""
    root = context.folder / "inbox"
    with environment({"FEEDFORWARD_ROOT": str(root)}):
        small_data.write_workspace(root)
        registered.write_vocabulary()
        registered.champion(tracking.open_store(), load_params())
        paths.incoming(registered.NAME).parent.mkdir(parents=True, exist_ok=True)
        script = f'mount -t tmpfs -o size=64k none "$1" && exec {sys.executable} -m faults.inbox'
        command = [*UNSHARE, "sh", "-c", script, "sh", str(paths.incoming(registered.NAME).parent)]
        done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)
    assert done.returncode == 0, (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return done.stdout.strip()


def check() -> str:
    """Check that samples are refused with status 507 while the disk is full, and that predictions continue."""
    name = registered.NAME
    filler = paths.incoming(name).parent / "filler"
    with live_service.LiveService(load_params()) as service:
        filler.write_bytes(bytes(shutil.disk_usage(filler.parent).free))
        for number in range(SAMPLES):
            answer = service.client.post(f"/incoming/{name}", json={"sample": f"word{number + 1}", "label": "glad"})
            assert answer.status_code == 507, f"sample {number}: {answer.status_code} {answer.text}"
            assert "cannot be written" in answer.json()["error"], answer.text
            assert service.ask("word1").status_code == 200, "predictions stopped"
        filler.unlink()
        answer = service.client.post(f"/incoming/{name}", json={"sample": "word1", "label": "glad"})
        assert answer.json() == {"stored": True}, answer.text
    entries = list(append_only_log.read(paths.incoming(name)))
    assert [entry["text"] for entry in entries] == ["word1"], f"{len(entries)} entries, expected 1"
    return f"{SAMPLES} of {SAMPLES} samples refused with 507, predictions continue; stored once space is free"


if __name__ == "__main__":
    try:
        print(check())
    except AssertionError as error:
        sys.exit(str(error).replace("\n", " "))
