"""The commands for the workspace of `feedforward demo`, which is the folder demo/ of a checkout."""

from feedforward.core import paths


def is_current() -> bool:
    """Whether the workspace is that of a checkout's demo."""
    root = paths.root()
    return root.name == "demo" and (root.parent / "params.yaml").is_file()


def prefix() -> str:
    """What precedes a command for this workspace in the checkout; empty unless it is the demo's."""
    return "FEEDFORWARD_ROOT=demo " if is_current() else ""
