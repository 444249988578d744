"""TLS trust of a store's server by the certificates of `caRef`."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from keyturn.core.value import Value
from keyturn.runtime import tls

from . import work
from .errors import Refused

if TYPE_CHECKING:
    from .base import ProviderContext, Reference


async def trusting(given: ProviderContext, authorities: Reference) -> ssl.SSLContext:
    """Return a TLS context that trusts the certificates of `caRef`.

    Raises:
        Refused: There are none, or more than the limit.
    """
    found = given.referred.get(authorities)
    if found is None or not isinstance(found.content, Value):
        raise Refused("NoAuthorities", "the ConfigMap of caRef is not there")
    return await work.run(given.owner, _context, found.content.reveal())


def _context(bundle: bytes) -> ssl.SSLContext:
    if not tls.is_bounded(bundle):
        raise Refused(
            "NoAuthorities",
            f"caRef has more than {tls.MOST_CERTIFICATES} certificates or {tls.LARGEST_BUNDLE // 1024} KiB;"
            " keep only the authorities of the server's certificate",
        )
    try:
        return tls.client_context(bundle)
    except (ssl.SSLError, ValueError):
        pass
    raise Refused("NoAuthorities", "caRef names no certificates in PEM")
