"""Test order and fixtures shared by all tests."""

import logging
import os
import sys
from collections.abc import Generator, Iterator

import absl.logging
import live_prefect
import pytest

from feedforward.core import environment, logs, processes, provenance

# The tests run in git hooks, too. With the variables of a hook, their git commands would change this repository.
for name in environment.GIT_VARIABLES:
    os.environ.pop(name, None)

# Each DVC command in a project that a test creates would start another process of DVC, which sends analytics.
os.environ["DVC_NO_ANALYTICS"] = "1"

# As `runner.prepare` sets it, but also if a test that ran before in this process started TensorFlow without it: on CPUs
# without AVX-512, the bits of results depend on the number of threads.
if provenance.bits_depend_on_threads():
    os.environ["TF_NUM_INTRAOP_THREADS"] = "1"

# Keras and TensorFlow log through absl. Its handler would otherwise hold pytest's capture file, which is closed as soon
# as Prefect configures logging, and every later test would fail with "I/O operation on closed file".
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Pause garbage collection while pytest collects the tests, which imports every heavy library."""
    with processes.importing():
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests of pipelines first, then other slow tests: if these started last, cores would be idle at the end.

    The very first ones are those of scheduled retrainings, which spend minutes waiting for their schedule.
    """

    def place(item: pytest.Item) -> tuple[bool, bool, bool]:
        is_scheduled = item.path.name == "test_retraining_flow.py"
        return not is_scheduled, "pipelines" not in item.path.parts, item.get_closest_marker("slow") is None

    items.sort(key=place)


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    """Restore logging after each test, because commands configure it to write to standard error."""
    loggers = [logging.getLogger(name) for name in logs.LOGGERS]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    value = os.environ.get(logs.VARIABLE)
    yield
    os.environ.pop(logs.VARIABLE, None)
    if value is not None:
        os.environ[logs.VARIABLE] = value
    for logger, (logger.handlers, level, logger.propagate) in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.fixture(scope="session")
def prefect_server_address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a Prefect server that all pytest workers share, because a server takes seconds to start."""
    return live_prefect.shared(tmp_path_factory.getbasetemp())


@pytest.fixture
def prefect_server(prefect_server_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The shared Prefect server, for tests of jobs; without it, each job would start its own server."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server_address)
    return prefect_server_address
