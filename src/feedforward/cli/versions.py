"""The commands about model versions as a whole: keys."""

import json

from feedforward.cli.options import JsonOption
from feedforward.cli.output import escaped, message


def keys(as_json: JsonOption = False) -> None:
    """Print the public key for `promotion.key`; make the private key that signs versions if there is none."""
    from feedforward.promotion import signatures

    path, public, is_new = signatures.create()
    if as_json:
        print(json.dumps({"key": public, "private": str(path), "new": is_new}, indent=2))
        return
    if is_new:
        message(f"made the private key {escaped(str(path))}: keep it secret, and keep a copy")
    message("put this line below `promotion:` in params.yaml, then promote again:")
    print(f"key: {public}")
