"""The messages from the service to its shadow: a request, the champion's answer, and the two versions to compare."""

import functools
import json
import struct
from dataclasses import asdict, dataclass
from typing import BinaryIO

from feedforward.promotion.shadow_evidence import Pair

LENGTHS = struct.Struct("!III")  # lengths of head, request body and answer


@dataclass(frozen=True)
class Frame:
    """A request that the champion has answered. kind: media type of the body. answer: JSON of the response."""

    dataset: str
    kind: str
    pair: Pair
    body: bytes
    answer: bytes

    def packed(self) -> bytes:
        """The frame as bytes."""
        head = _head(self.dataset, self.kind, self.pair)
        return b"".join((LENGTHS.pack(len(head), len(self.body), len(self.answer)), head, self.body, self.answer))


@functools.lru_cache(maxsize=32)  # bounded, because the client chooses the media type, which can be 64 KiB long
def _head(dataset: str, kind: str, pair: Pair) -> bytes:
    return json.dumps({"dataset": dataset, "kind": kind, **asdict(pair)}).encode()


def read(stream: BinaryIO) -> Frame | None:
    """The next complete frame; None if the stream has ended."""
    lengths = stream.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    head, body, answer = (stream.read(length) for length in LENGTHS.unpack(lengths))
    if len(answer) < LENGTHS.unpack(lengths)[2]:
        return None
    values = json.loads(head)
    (champion, champion_digest), (challenger, challenger_digest) = values["champion"], values["challenger"]
    pair = Pair((champion, champion_digest), (challenger, challenger_digest))
    return Frame(values["dataset"], values["kind"], pair, body, answer)
