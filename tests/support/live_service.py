"""A real service on loopback, in a thread of the test process."""

import asyncio
import threading
from typing import Any

import httpx
from registered import NAME
from waiting import PATIENCE

from feedforward.config.schema import Params, Serving
from feedforward.serving import server
from feedforward.serving.app import create
from feedforward.serving.http.requests import Limits
from feedforward.serving.http.server import Server

GLAD = " ".join(f"word{k}" for k in range(1, 21))  # a text that the registered champion of `notes` labels `glad`
SERVING = Serving(  # settings with which tests reach the limits
    refresh=0.1, max_body_bytes=200_000, max_samples=5, max_text_bytes=2000, max_feedback_bytes=4000
)


class LiveService:
    """Runs a service on `port`, or on a free port if it is 0. limits: values that replace limits of its HTTP server."""

    def __init__(self, params: Params, port: int = 0, **limits: Any) -> None:
        self.socket = server.bind("127.0.0.1", port)
        self.port = self.socket.getsockname()[1]
        self.service = create(params, server.LOOPBACK_NAMES)
        http_limits = Limits(**{"body_bytes": params.serving.max_body_bytes, **limits})
        self.server = Server(self.service.application, http_limits, self.service.metrics.count_refusal)
        self.ready, self.stop = threading.Event(), asyncio.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE)

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        await server.serve(self.service, self.server, self.socket, self.stop, self.ready.set)

    def __enter__(self) -> "LiveService":
        self.thread.start()
        assert self.ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(PATIENCE)
        self.socket.close()

    def ask(self, *samples: Any, dataset: str = NAME, **options: Any) -> httpx.Response:
        return self.client.post(f"/predict/{dataset}", json={"samples": list(samples), **options})
