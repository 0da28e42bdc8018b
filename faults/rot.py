"""Row 10 of docs/reliability.md: flipped bits in DVC's cache are detected, and the remedy in the message works."""

import random
import shutil
from pathlib import Path

from faults import workspace
from faults.context import SEED, Context
from faults.workspace import FEEDFORWARD, REPRO
from feedforward.experiments import verification

CACHE = Path(".dvc/cache/files/md5")


def flip_bits(context: Context) -> str:
    """Row 10: flip bits one at a time, and check that `rehash` names only the damaged object; try the remedy once."""
    count, rng = context.count(100, 20), random.Random(SEED)
    with context.baseline.copy("rot") as folder:
        object_count, damaged_objects = verification.rehash(folder / CACHE)
        assert object_count > 0, "the cache is empty"
        assert damaged_objects == [], f"undamaged objects were reported: {damaged_objects}"
        for _ in range(count):
            path = rng.choice(workspace.walk(folder / CACHE))
            original = _flip(path, rng)
            name = str(path.relative_to(folder))
            assert verification.rehash(folder / CACHE) == (object_count, [name]), (
                f"{name}: not detected, or other objects reported"
            )
            _write(path, original)
        assert verification.rehash(folder / CACHE) == (object_count, []), "undamaged objects were reported"
        if not context.short:
            _check_remedy(context, folder, rng)
    return f"{count} of {count} flipped bits detected among {object_count} objects, no false alarms" + (
        "" if context.short else "; the remedy works"
    )


def _check_remedy(context: Context, folder: Path, rng: random.Random) -> None:
    """Damage a cached file, follow the message, and check that the file and its output (also deleted) are restored."""
    output = folder / "data" / "vectorized" / workspace.NAME
    content = (output / "vocabulary.txt").read_bytes()
    [path] = [path for path in workspace.walk(folder / CACHE) if path.read_bytes() == content]
    _flip(path, rng)
    name = str(path.relative_to(folder))
    done, remedy = workspace.run(folder, *FEEDFORWARD, "verify"), "remove the file and run `feedforward run`"
    workspace.one_line(done, 1, name, remedy)
    path.unlink()
    shutil.rmtree(output)
    assert workspace.run(folder, *REPRO).returncode == 0, "the remedy failed"
    context.baseline.check_outputs(folder)
    assert path.read_bytes() == content, "the remedy did not restore the object in the cache"
    done = workspace.run(folder, *FEEDFORWARD, "verify")
    assert done.returncode == 0, done.stderr[-500:]


def _flip(path: Path, rng: random.Random) -> bytes:
    """Flip a bit; return the original bytes."""
    original = path.read_bytes()
    changed = bytearray(original)
    changed[rng.randrange(len(original))] ^= 1 << rng.randrange(8)
    _write(path, bytes(changed))
    return original


def _write(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(0o444)
