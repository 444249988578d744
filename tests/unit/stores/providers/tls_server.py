"""A server with a certificate of its own authority."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trustme
from aiohttp import web


def authority(folder: Path, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a server's side with a certificate for `names`, and a client's that trusts its authority, `ca.crt`."""
    signer = trustme.CA()
    signer.cert_pem.write_to_path(folder / "ca.crt")
    certificate = signer.issue_cert(*names)
    certificate.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    certificate.private_key_pem.write_to_path(folder / "tls.key")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return server, ssl.create_default_context(cafile=str(folder / "ca.crt"))


@asynccontextmanager
async def serving_tls(
    context: ssl.SSLContext, name: str, handle: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield f"https://{name}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
