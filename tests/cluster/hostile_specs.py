"""What a hostile tenant asks for in a cluster, of the corpus in tests/hostile."""

import base64
from collections.abc import Mapping
from typing import Any

from tests.cluster.namespace import Space
from tests.support.objects import Body


def made(name: str, **recipe: Any) -> Body:
    return {"name": name, "generate": recipe}


def large_key(number: int, bits: int) -> Body:
    keys = {"privateKey": f"{number}.key", "publicKey": f"{number}.pub"}
    return {**made(f"key-{number}", rsaKey={"bits": bits}), "keys": keys}


def write_secret(space: Space, name: str, held: Mapping[str, bytes]) -> None:
    data = {key: base64.b64encode(content).decode() for key, content in held.items()}
    space.create({"kind": "Secret", "metadata": {"name": name}, "type": "Opaque", "data": data})


def signed(space: Space, name: str) -> None:
    """Ask for a certificate that the CA in the Secret `ca` signs."""
    settings = {"dnsNames": ["shop.test"], "issuer": {"secretRef": {"name": "ca"}}}
    space.manage(made("web", certificate=settings), name=name)
