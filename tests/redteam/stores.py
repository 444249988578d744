"""Attacks by stores: servers that drip, fail or are replaced, names that are never answered, addresses inside."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.cluster.namespace import Space
from tests.cluster.store_objects import Stores, pulled
from tests.redteam.attack import attack
from tests.redteam.computing import until_refused
from tests.redteam.servers import dripping, silent
from tests.redteam.target import AttackTarget
from tests.support.objects import Refused
from tests.support.store_proxy import refuse, store_proxy

_TENANTS: Final = 14
_OBJECTS: Final = 42
_CHANGES: Final = 300
_INSIDE: Final = (
    "https://169.254.169.254/{{ key }}",
    "https://2852039166/{{ key }}",
    "https://0251.0376.0251.0376/{{ key }}",
    "https://[::ffff:169.254.169.254]/{{ key }}",
    "https://[::ffff:0:169.254.169.254]/{{ key }}",
    "https://[64:ff9b:1::a9fe:a9fe]/{{ key }}",
    "https://[fd00:ec2::254]/{{ key }}",
    "https://192.0.0.192/{{ key }}",
    "https://100.100.100.200/{{ key }}",
    "https://10.0.0.1/{{ key }}",
)
_MOUNTED: Final = 'mount --bind "$0" /etc/resolv.conf && hostname nowhere.invalid && exec "$@"'


@attack("F8")
def dripping_servers(target: AttackTarget) -> Iterator[None]:
    """14 namespaces read 42 objects each from a server that answers a byte a second."""
    with dripping() as address:
        _fill(target, address)
        yield


@attack("F8")
def dripping_servers_of_new_specs(target: AttackTarget) -> Iterator[None]:
    """The same, and the spec of every store changes once a second."""
    with dripping() as address:
        spaces, turns = _fill(target, address), itertools.count()

        def touch() -> None:
            turn = next(turns)
            for space in spaces:
                _write(space, f"{address}/{turn}")

        with target.meanwhile(touch):
            yield


@attack("F8")
def failing_servers(target: AttackTarget) -> Iterator[None]:
    """14 namespaces read 42 objects each from a server that answers with an error."""
    with store_proxy("") as server:
        server.fault = lambda _: refuse(500)
        _fill(target, server.address)
        yield


@attack("F10")
def replaced_store(target: AttackTarget) -> Iterator[None]:
    """One store changes 300 times while 14 objects read from it, by a server that drips."""
    with dripping() as address:
        (space,) = target.spaces()
        _write(space, address)
        for number in range(_TENANTS):
            space.manage(pulled("it", f"key-{number}"), name=f"reader-{number}")
        turns = itertools.count()
        with target.meanwhile(lambda: _write(space, f"{address}/{next(turns)}"), every=0.02):
            yield
            while next(turns) < _CHANGES:
                time.sleep(0.5)


@attack("F12", "F13", needs_root=True)
def dead_name_server(target: AttackTarget) -> Iterator[None]:
    """150 namespaces with 8 stores each whose names are never answered; the machine's own name is not, either."""
    with silent() as address:
        resolver = target.folder / "resolv.conf"
        resolver.write_text(f"nameserver {address}\n")
        target.start(under=("unshare", "--mount", "--uts", "sh", "-c", _MOUNTED, str(resolver)))

        def write(space: Space) -> None:
            for number in range(8):
                _write(space, f"https://{space.namespace}-{number}.test", f"store-{number}")
            space.manage(*(pulled(f"it-{number}", "any", f"store-{number}") for number in range(8)))

        target.each(target.spaces(150), write)
        yield


@attack("F15")
def addresses_inside(target: AttackTarget) -> Iterator[None]:
    """Stores at addresses inside, each written another way."""
    (space,) = target.spaces()
    taken = []
    for number, url in enumerate(_INSIDE):
        try:
            Stores(space, Path()).write({"webhook": {"url": url}}, f"store-{number}")
        except Refused:
            continue  # the API server takes no such address
        space.manage(pulled("it", "any", f"store-{number}"), name=f"inside-{number}")
        taken.append(f"store-{number}")
    yield
    for store in taken:
        until_refused(space, store)
        ready = Stores(space, Path()).condition("Ready", store)
        assert ready is not None
        assert ready["reason"] == "InvalidSettings", f"{store} was asked"


def _fill(target: AttackTarget, address: str) -> list[Space]:
    spaces = target.spaces(_TENANTS)
    for space in spaces:
        _write(space, address)
    jobs = [(space, number) for space in spaces for number in range(_OBJECTS)]
    target.each(jobs, lambda job: job[0].manage(pulled("it", f"key-{job[1]}"), name=f"reader-{job[1]}"))
    return spaces


def _write(space: Space, address: str, name: str = "store") -> None:
    provider: dict[str, Any] = {"webhook": {"url": f"{address}/{{{{ key }}}}"}}
    Stores(space, Path()).write(provider, name)
