"""Addresses that other machines can reach are refused unless this is explicitly allowed."""

import pytest

from feedforward.core import hosts
from feedforward.core.errors import ParamsError


def test_addresses_not_known_to_be_loopback_require_expose() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(ParamsError, match="the service has no login; add --expose"):
            hosts.check(host, expose=False, server="the service")
        hosts.check(host, expose=True, server="the service")
    for host in ("127.0.0.1", "127.0.0.9", "localhost", "::1"):
        hosts.check(host, expose=False, server="the service")
