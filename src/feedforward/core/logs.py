"""Logging to standard error, set up once per process; child processes inherit the level through the environment."""

import logging
import os
import sys

VARIABLE = "FEEDFORWARD_LOG_LEVEL"
FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
LOGGERS = ("feedforward", "pipelines")
LEVELS = ("WARNING", "INFO", "DEBUG")  # indexed by the number of -v options


def configure(verbosity: int = 0) -> None:
    """Send this project's log records to standard error.

    verbosity: number of -v options; if 0, the level comes from $FEEDFORWARD_LOG_LEVEL (default: WARNING). The level is
    written to that variable so that stages and workers started by this process use it.
    """
    inherited = os.environ.get(VARIABLE, "").upper()
    level = LEVELS[min(verbosity, 2)] if verbosity or inherited not in LEVELS else inherited
    os.environ[VARIABLE] = level
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT))
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
