"""Row 27 of docs/reliability.md: a secret in the environment, in a URL or in params.yaml is never stored or printed."""

import contextlib
import functools
import http.server
import shutil
import threading
from collections.abc import Iterator

from faults import ROOT, workspace
from faults.context import Context
from faults.workspace import FEEDFORWARD, NAME, REPRO, Completed

MARKER = "c4n4ry-7d1e55"  # part of every secret in this scenario


def search_for_secret(context: Context) -> str:
    """Row 27: run commands that receive a secret, then search for it in their output and in all files."""
    with context.baseline.copy("secret-leaks") as folder, _serve_samples() as port:
        for name in ("data", "reports", "mlruns", ".prefect", ".dvc/cache"):
            shutil.rmtree(folder / name, ignore_errors=True)
        workspace.change_params(folder, {"mirrors": []})
        address = f"http://someone:{MARKER}@127.0.0.1:{{}}?token={MARKER}"
        secret_env = {"UPLOAD_TOKEN": MARKER, "FEEDFORWARD_MIRROR": address.format(port)}
        dead_mirror_env = secret_env | {"FEEDFORWARD_MIRROR": address.format(9)}
        dead_tracking_env = secret_env | {"MLFLOW_TRACKING_URI": f"http://someone:{MARKER}@127.0.0.1:9"}
        commands = [_check_code(workspace.run(folder, *REPRO, **secret_env), 0)]  # fetches, trains and logs
        commands.append(_check_code(workspace.run(folder, *FEEDFORWARD, "promote", NAME, **secret_env), 0))
        train = (*FEEDFORWARD, "train", NAME, "--seeds", "2")
        commands.append(_check_code(workspace.run(folder, *train, **dead_tracking_env), 0))
        commands.append(_check_code(workspace.run(folder, *FEEDFORWARD, "sync", **dead_tracking_env), 1))
        commands.append(_check_code(workspace.run(folder, *FEEDFORWARD, "promote", NAME, **dead_tracking_env), 1))
        shutil.rmtree(folder / "data" / "raw")
        commands.append(_check_code(workspace.run(folder, *REPRO, "--no-run-cache", **dead_mirror_env), 1))
        valid_params = (folder / "params.yaml").read_bytes()
        for values in ({"mirrors": [address.format(9)]}, {"mirrors": [f"s3://key:{MARKER}@bucket/x"]}):
            workspace.change_params(folder, values)
            commands.append(_check_code(workspace.run(folder, *FEEDFORWARD, "params"), 2))
            workspace.one_line(commands[-1], 2, "params.yaml: mirrors.0: ", "FEEDFORWARD_MIRROR")
            commands.append(_check_code(workspace.run(folder, *REPRO), 1))
        (folder / "params.yaml").write_bytes(valid_params)
        printed = [text for command in commands for text in (command.stdout, command.stderr) if MARKER in text]
        assert not printed, f"the secret was printed: {printed[0][-300:]}"
        files = workspace.walk(folder)
        assert folder / ".prefect" / "prefect.db" in files, "Prefect's database is elsewhere"
        leaks = [str(path.relative_to(folder)) for path in files if MARKER.encode() in path.read_bytes()]
        assert not leaks, f"the secret is in {len(leaks)} files, such as {leaks[0]}"
    return (
        f"the secret is in none of the {len(files):,} files and in the output of none of the {len(commands)} commands"
    )


def _check_code(completed: Completed, code: int) -> Completed:
    """Check the exit code of a completed command, and return the command."""
    output = f"{completed.stdout[-500:]}{completed.stderr[-500:]}"
    received = completed.returncode
    assert received == code, f"{completed.args}: exit code {received} instead of {code}: {output}"
    return completed


class _SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextlib.contextmanager
def _serve_samples() -> Iterator[int]:
    """Serve the sample data bundled with the project over HTTP on the loopback interface; yield the port."""
    handler = functools.partial(_SilentHandler, directory=str(ROOT / "samples"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()
