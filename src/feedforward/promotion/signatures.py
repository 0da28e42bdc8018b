"""Signatures of bundles: ECDSA P-256 over the digests of all files, in the format of OpenSSF Model Signing 1.0.

`promotion.key` in params.yaml is the public key; the private key is a file outside the workspace, named by
FEEDFORWARD_SIGNER. Without `promotion.key`, nothing is signed or checked. `bundle`, not its callers, gets the key
from here, so code that reads a model cannot omit the check.

A signature is a file `model.sig` in the same folder: a Sigstore bundle with a DSSE envelope around an in-toto statement
(https://github.com/ossf/model-signing-spec). `model_signing verify key` of the model-signing package accepts it. That
package is not used here, because it requires sigstore and tuf, which are clients of network services.
"""

import base64
import functools
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feedforward.config import file_values
from feedforward.config.schema import check as check_params
from feedforward.core import atomic_files, paths, processes
from feedforward.core.errors import DataError, ParamsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

FILE = "model.sig"
MAX_BYTES = 2**16
SIGNER = "FEEDFORWARD_SIGNER"  # environment variable: path of the private key
PAYLOAD_TYPE = "application/vnd.in-toto+json"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


class NotSigned(DataError):
    """A bundle has no valid signature by the owner of `promotion.key`."""


def required() -> str | None:
    """`promotion.key` from the workspace's params.yaml; None if there is no key or no workspace.

    Raises:
        ParamsError: params.yaml is invalid.
    """
    try:
        path = paths.params()
    except ParamsError:
        return None
    status = path.stat()
    return _key_in(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=1)
def _key_in(path: Path, *_: int) -> str | None:
    """`promotion.key` in params.yaml; read again if the file's time or size, the other arguments, have changed."""
    return check_params(file_values.read_cached(path), path.name).promotion.key


def sign(role: str, digests: Mapping[str, str]) -> bytes | None:
    """The content of FILE for a folder whose files have these SHA-256 digests; None without `promotion.key`.

    role: what the folder is in its version, such as `served` or `variants/l2`.

    Raises:
        ParamsError: the private key is missing, is readable by other users, or does not match `promotion.key`.
    """
    expected = required()
    if expected is None:
        return None
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = _private_key(private_path())
    if public_text(key.public_key()) != expected:
        raise ParamsError(
            [f"promotion.key: is not the public key of {private_path()}; `feedforward keys` prints that key"]
        )
    payload = _statement(role, digests)
    signature = key.sign(_encoded(payload), ec.ECDSA(hashes.SHA256()))
    return (atomic_files.canonical_json(_bundle(payload, signature, key.public_key()), indent=2) + "\n").encode()


def check(path: Path, content: bytes, role: str, digests: Mapping[str, str], key: str) -> None:
    """Check that `content`, read from `path`, is a signature of these digests in this role by the owner of `key`.

    The statement in `content` is not parsed: the signature must be valid for the statement expected for these files.

    Raises:
        NotSigned: the signature is invalid. ParamsError: `key` is not a point on the curve.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    public = _public_key(key)
    try:
        [entry] = json.loads(content)["dsseEnvelope"]["signatures"]
        signature = base64.b64decode(entry["sig"], validate=True)
        public.verify(signature, _encoded(_statement(role, digests)), ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, KeyError, TypeError, ValueError, RecursionError):
        raise NotSigned(
            f"{path}: is not a valid signature of these files for promotion.key in params.yaml;"
            " do not use the version, promote the run again"
        ) from None


# --- keys ------------------------------------------------------------------------------------


def private_path() -> Path:
    """The path of the private key: $FEEDFORWARD_SIGNER, or ~/.config/feedforward/signer.pem.

    Raises:
        ParamsError: the path is in the workspace, whose files are shared, or starts with a home folder that is unknown.
    """
    configured = os.environ.get(SIGNER)
    try:
        path = Path(configured).expanduser() if configured else Path.home() / ".config" / "feedforward" / "signer.pem"
    except RuntimeError:
        actual = repr(configured) if configured else "nothing"
        raise ParamsError(
            [f"{SIGNER}: the home folder is unknown, so it must be a path without `~`, got {actual}"]
        ) from None
    path = Path(os.path.realpath(path))
    try:
        root = paths.root()
    except ParamsError:
        return path
    if path.is_relative_to(root):
        raise ParamsError([f"{SIGNER}: must name a file outside the workspace {root}, got {path}"])
    return path


def create() -> tuple[Path, str, bool]:
    """Create a key unless there is one; return the private key's path, the public key as text, and whether it is new.

    Raises:
        ParamsError: the file is in the workspace, is not a P-256 private key, or is readable by other users; or others
            could replace it.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    path = private_path()
    for folder in reversed([folder for folder in path.parents if not folder.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)  # with `parents=True`, only the last folder would get this mode
    _check_owner(path)
    with processes.locked_folder(path.parent):
        if path.exists():
            return path, public_text(_private_key(path).public_key()), False
        key = ec.generate_private_key(ec.SECP256R1())
        form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        with atomic_files.writing(path, "key", private=True) as file:
            file.write(key.private_bytes(serialization.Encoding.PEM, form, plain))
        return path, public_text(key.public_key()), True


def _check_owner(path: Path) -> None:
    """Check that the private key and its folder belong to this user or root, and that nobody else can replace the key.

    Raises:
        ParamsError: another user owns one of them, or can write to the folder.
    """
    for owned in filter(Path.exists, (path.parent, path)):
        if owned.stat().st_uid not in (0, os.geteuid()):
            raise ParamsError([f"{owned}: belongs to another user; set {SIGNER} to a file in a folder of your own"])
    if path.parent.stat().st_mode & 0o022:
        remedy = f"run chmod 700 {path.parent}, or set {SIGNER} to a file in another folder"
        raise ParamsError([f"{path.parent}: other users can write to it and so replace the private key; {remedy}"])


def public_text(key: "EllipticCurvePublicKey") -> str:
    """The public key as in params.yaml: its DER in base64, as in a PEM file without the first and the last line."""
    from cryptography.hazmat.primitives import serialization

    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(key.public_bytes(serialization.Encoding.DER, form)).decode()


def _public_key(text: str) -> "EllipticCurvePublicKey":
    from cryptography.hazmat.primitives.asymmetric import ec

    point = base64.b64decode(text)[-65:]  # the end of the DER; the schema has checked its start
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise ParamsError(["promotion.key: must be a public key as printed by `feedforward keys`"]) from None


def _private_key(path: Path) -> "EllipticCurvePrivateKey":
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # a pipe would never end
            raise ValueError("not a regular file")
        if mode & 0o077:
            raise ParamsError([f"{path}: other users can read the private key; run chmod 600 {path}"])
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        problem = f"the private key for promotion.key cannot be read ({error.strerror})"
        raise ParamsError(
            [f"{path}: {problem}; set {SIGNER} to its path, or create a key with `feedforward keys`"]
        ) from None
    except (TypeError, ValueError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        problem = "must be a PEM file with a P-256 private key that has no passphrase"
        raise ParamsError([f"{path}: {problem}; move it away and run `feedforward keys`"])
    return key


# --- format ----------------------------------------------------------------------------------


def _statement(role: str, digests: Mapping[str, str]) -> bytes:
    """The in-toto statement. Its subject's digest is the SHA-256 of all files' digests, in the order of their names.

    The subject's name contains the role. In earlier releases, it was the folder's name alone, which is `served` also
    for a variant with that name; signatures of these releases are no longer valid.
    """
    resources = [{"algorithm": "sha256", "digest": digests[file], "name": file} for file in sorted(digests)]
    combined = hashlib.sha256(b"".join(bytes.fromhex(digests[file]) for file in sorted(digests))).hexdigest()
    serialization = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [FILE]}
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": f"version/{role}", "digest": {"sha256": combined}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {"serialization": serialization, "resources": resources},
    }
    return atomic_files.canonical_json(statement).encode()


def _encoded(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding (https://github.com/secure-systems-lab/dsse)."""
    return f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload


def _bundle(payload: bytes, signature: bytes, key: "EllipticCurvePublicKey") -> dict[str, Any]:
    from cryptography.hazmat.primitives import serialization

    form = serialization.PublicFormat.SubjectPublicKeyInfo
    hint = hashlib.sha256(key.public_bytes(serialization.Encoding.PEM, form)).hexdigest()
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": "", "sig": base64.b64encode(signature).decode()}],
    }
    material = {"publicKey": {"hint": hint}, "tlogEntries": []}
    return {"mediaType": BUNDLE_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope}
