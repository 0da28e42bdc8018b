"""Order of the tests."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole jobs first: begun last they would keep one core busy for minutes while the other has nothing to do."""
    items.sort(key=lambda item: "pipelines" not in item.path.parts)
