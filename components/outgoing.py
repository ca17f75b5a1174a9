"""One POST to somebody else's server: within a time that holds for all of it, and never more than a bounded reply.

Certificates are checked, redirects are not followed (what is signed or secret is meant for one address), and
proxies of the environment are not used.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from threading import Timer
from typing import cast
from urllib.parse import SplitResult, urlsplit

from components.core.errors import ParamsError, ShopError

MOST_REPLY = 256 * 1024  # bytes


class Unreached(ShopError):
    """The other server gave no whole reply in time."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Of the other server; of a long one only the first bytes."""

    status: int
    content: bytes


def checked_url(variable: str, url: str) -> str:
    """`url`, or ParamsError naming the variable of the environment; it is not repeated, for it may hold a secret."""
    try:
        parts = urlsplit(url.strip())
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or parts.username is not None or any(character.isspace() for character in url.strip()):
        raise ParamsError(f"{variable}: expected http(s)://HOST[:PORT]/PATH without a user, got another; correct it")
    return url.strip()


def post(url: str, content: bytes, headers: Mapping[str, str], seconds: float, most: int = MOST_REPLY) -> Reply:
    """The reply, whatever its status, with at most so many bytes; raises Unreached where it is not whole in time.

    Finding the address of the host is the system's affair and may take longer than `seconds`.
    """
    parts = urlsplit(url)
    with closing(_connection(parts, seconds)) as connection:
        # a timeout of sockets begins anew with every byte, so that a server which drips would hold us for ever
        reached: list[socket.socket] = []
        end = Timer(seconds, _cut, [reached])
        end.daemon = True
        end.start()
        try:
            connection.connect()
            reached.append(connection.sock)  # the connection lets go of it while the reply is still read
            _check(end)
            connection.request("POST", _target(parts), content, dict(headers))
            reply = connection.getresponse()
            found = Reply(reply.status, reply.read(most) if most else b"")
            _check(end)  # what was cut off reads like what ended
            return found
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = "nothing more in time" if not end.is_alive() else str(error) or type(error).__name__
            raise Unreached(f"expected a reply within {seconds:g} s, got: {reason}") from None
        finally:
            end.cancel()


def _connection(parts: SplitResult, seconds: float) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(cast(str, parts.hostname), parts.port, timeout=seconds)


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _check(end: Timer) -> None:
    if not end.is_alive():
        raise TimeoutError


def _cut(reached: list[socket.socket]) -> None:
    for each in reached:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
