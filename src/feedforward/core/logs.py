"""Logging to standard error, set up once per process; child processes inherit the level through the environment."""

import logging
import os
import sys

VARIABLE = "FEEDFORWARD_LOG_LEVEL"
FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
LOGGERS = ("feedforward", "pipelines")
LEVELS = ("WARNING", "INFO", "DEBUG")  # by the number of -v


def configure(verbosity: int = 0) -> None:
    """Send the records of this project to standard error.

    verbosity: number of -v options; 0 takes the level from $FEEDFORWARD_LOG_LEVEL, by default WARNING. The level is
    written to that variable, so that stages and workers started from this process use it too.
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
