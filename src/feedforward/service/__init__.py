"""A small HTTP service over the champions: predictions, a page to play with, corrections, health and metrics.

    running.run(params)   # on 127.0.0.1 until SIGTERM or SIGINT; answers under way are finished first

FastAPI, uvicorn and prometheus-client live in this package and nowhere else. Nothing is imported here: the processes
that read pictures need none of them.
"""
