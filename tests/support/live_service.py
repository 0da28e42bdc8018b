"""A real service on loopback, in a thread of the test."""

import threading
import time
from typing import Any

import httpx
import uvicorn
from registered import NAME

from feedforward.config.schema import Params, Serving
from feedforward.serving import server

GLAD = " ".join(f"word{k}" for k in range(1, 21))  # what the registered champion of `notes` calls glad
PATIENCE = 60  # s; a busy machine is slow, and how fast a service is, benchmarks say
BOUNDS = Serving(refresh=0.1, max_body_bytes=200_000, max_samples=5, max_text_bytes=2000, max_feedback_bytes=4000)


class Running:
    """A service on a port of its own, or on that port."""

    def __init__(self, params: Params, port: int = 0) -> None:
        self.socket = server._bound("127.0.0.1", port)
        self.port = self.socket.getsockname()[1]
        edge = server.create(params, server.LOOPBACK_NAMES)
        self.server = uvicorn.Server(uvicorn.Config(edge, http=server.Protocol, log_level="critical", lifespan="on"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE)

    def __enter__(self) -> "Running":
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.server.should_exit = True
        self.thread.join(10)

    def ask(self, *samples: Any, dataset: str = NAME, **options: Any) -> httpx.Response:
        return self.client.post(f"/predict/{dataset}", json={"samples": list(samples), **options})
