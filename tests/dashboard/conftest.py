"""What the dashboard's tests share: Node, with the dashboard's packages installed."""

from __future__ import annotations

import pytest

from tests.support.node import Node, NodeMissing, find_node, install


@pytest.fixture(scope="session")
def node() -> Node:
    """A Node that can run the dashboard's scripts."""
    try:
        found = find_node()
        install(found)
    except NodeMissing as error:
        pytest.skip(str(error))
    return found
