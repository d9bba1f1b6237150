"""Check the address to which a web server redirects, and refuse private or unsafe addresses."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urljoin, urlsplit

from gzfeatures.web.clock import interruptible
from gzfeatures.web.outcomes import NoAnswer

REDIRECTS = (301, 302, 303, 307, 308)
MOST_REDIRECTS = 5


def is_public(host: str | None) -> bool:
    """Return whether all IP addresses of a host are public; False for an unknown host.

    Raises
    ------
    NoAnswer, Unanswered
        In a `with clock.timed(…)` block: the reading was stopped, or its time limit is over.
    """
    try:
        found = interruptible(lambda: socket.getaddrinfo(host, None))
    except (OSError, UnicodeError):
        return False
    return all(
        ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_global for entry in found
    )


def followed(url: str, location: str | None, public: bool) -> str:
    """Return the address to which a web server redirects from `url`; refuse a forbidden address.

    Raises
    ------
    NoAnswer
        The new address is no web address; it leads from https to http; or it is private, and
        `public` is True.

    Examples
    --------
    >>> followed("http://127.0.0.1/a/b", "../c", public=False)
    'http://127.0.0.1/c'
    """
    try:
        target = urljoin(url, location or "")
        before, after = urlsplit(url), urlsplit(target)
        host = after.hostname
    # Python raises this error if square brackets contain anything but an IPv6 address
    except ValueError as error:
        raise NoAnswer(f"redirected to an address that cannot be used: {location!r}") from error
    if location is None or after.scheme not in ("http", "https") or not host:
        raise NoAnswer(f"redirected to an address that cannot be used: {location!r}")
    if before.scheme == "https" and after.scheme == "http":
        raise NoAnswer(f"redirected from https to http: {host}")
    if public and not is_public(host):
        raise NoAnswer(f"redirected to a private address: {host}")
    return target
