"""A small HTTP service over the champions: predictions, a page to play with, corrections, health and metrics.

    service.run(params)   # on 127.0.0.1 until SIGTERM or SIGINT; answers under way are finished first

FastAPI, uvicorn and prometheus-client live in this package and nowhere else.
"""

from feedforward.service.application import create
from feedforward.service.running import run

__all__ = ["create", "run"]
