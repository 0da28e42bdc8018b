"""Servers without a login listen on an address that other machines can reach only if this is explicitly allowed."""

import ipaddress

from feedforward.core.errors import ParamsError


def check(host: str, expose: bool, server: str) -> None:
    """Unless `expose` is set, refuse addresses that other machines can reach. server: its name in the message.

    Raises:
        ParamsError: other machines can reach the address, and `expose` is not set.
    """
    if not is_loopback(host) and not expose:
        raise ParamsError(
            [f"--host: {host} can be reached from other machines, and {server} has no login; add --expose"]
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
