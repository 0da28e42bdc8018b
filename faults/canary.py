"""Row 27: a secret in the environment, in URLs or in params.yaml never appears in a log, database or artifact."""

import contextlib
import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from faults import ROOT, workspace
from faults.context import Context
from faults.workspace import FEEDFORWARD, NAME, REPRO, Done

CANARY = "c4n4ry-7d1e55"


def search_for_secret(context: Context) -> str:
    """Row 27: run commands that receive a secret, then search for it in their output and in all files."""
    with context.baseline.copy("canary") as folder, _serve_samples() as port:
        for name in ("data", "reports", "mlruns", ".prefect", ".dvc/cache"):
            shutil.rmtree(folder / name, ignore_errors=True)
        workspace.change(folder, {"mirrors": []})
        address = f"http://someone:{CANARY}@127.0.0.1:{{}}?token={CANARY}"
        secrets = {"UPLOAD_TOKEN": CANARY, "FEEDFORWARD_MIRROR": address.format(port)}
        unreachable = secrets | {"FEEDFORWARD_MIRROR": address.format(9)}
        store = secrets | {"MLFLOW_TRACKING_URI": f"http://someone:{CANARY}@127.0.0.1:9"}
        done = [_check_code(workspace.run(folder, *REPRO, **secrets), 0)]  # fetched, trained, logged
        done.append(_check_code(workspace.run(folder, *FEEDFORWARD, "promote", NAME, **secrets), 0))
        done.append(_check_code(workspace.run(folder, *FEEDFORWARD, "train", NAME, "--seeds", "2", **store), 0))
        done.append(_check_code(workspace.run(folder, *FEEDFORWARD, "sync", **store), 1))
        done.append(_check_code(workspace.run(folder, *FEEDFORWARD, "promote", NAME, **store), 1))
        shutil.rmtree(folder / "data" / "raw")
        done.append(_check_code(workspace.run(folder, *REPRO, "--no-run-cache", **unreachable), 1))
        valid_params = (folder / "params.yaml").read_bytes()
        for values in ({"mirrors": [address.format(9)]}, {"mirrors": [f"s3://key:{CANARY}@bucket/x"]}):
            workspace.change(folder, values)
            done.append(_check_code(workspace.run(folder, *FEEDFORWARD, "params"), 2))
            workspace.one_line(done[-1], 2, "params.yaml: mirrors.0: ", "FEEDFORWARD_MIRROR")
            done.append(_check_code(workspace.run(folder, *REPRO), 1))
        (folder / "params.yaml").write_bytes(valid_params)
        printed = [text for command in done for text in (command.stdout, command.stderr) if CANARY in text]
        assert not printed, f"the secret was printed: {printed[0][-300:]}"
        files = workspace.walk(folder)
        assert folder / ".prefect" / "prefect.db" in files, "Prefect's database is elsewhere"
        leaks = [str(path.relative_to(folder)) for path in files if CANARY.encode() in path.read_bytes()]
        assert not leaks, f"the secret is in {len(leaks)} files, such as {leaks[0]}"
    return f"the secret is neither in {len(files):,} files nor in the output of {len(done)} commands"


def _check_code(done: Done, code: int) -> Done:
    output = f"{done.stdout[-500:]}{done.stderr[-500:]}"
    assert done.returncode == code, f"{done.args}: exit code {done.returncode} instead of {code}: {output}"
    return done


class _SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextlib.contextmanager
def _serve_samples() -> Iterator[int]:
    """Serve the sample data bundled with the project over HTTP on the loopback interface; yield the port."""
    handler = functools.partial(_SilentHandler, directory=str(Path(ROOT / "samples")))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()
