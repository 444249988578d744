"""Attacks by what has to be computed: certificates, keys, templates, paths, schedules, documents."""

import base64
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from sandbox.harness import eventually
from tests.cluster.hostile_specs import large_key, made, signed, write_secret
from tests.cluster.namespace import Space, password
from tests.cluster.store_objects import Stores, pulled
from tests.hostile import corpus
from tests.redteam.attack import attack
from tests.redteam.target import AttackTarget
from tests.redteam.tenant import first
from tests.support.objects import Body
from tests.support.store_proxy import refuse, store_proxy

_SOON: Final = 5.0
_PATIENCE: Final = 180.0
_MOST_OF_A_PATH: Final = '$[?@.a == "c" || @.a == "d"]'
"""As many comparisons, of as many items, as a filter may have."""


@attack("F1")
def chain_of_certificates(target: AttackTarget) -> Iterator[None]:
    """A CA that is 800 certificates away from its root signs three certificates."""
    (space,) = target.spaces()
    write_secret(space, "ca", corpus.chain(800))
    for number in range(3):
        signed(space, f"web-{number}")
    yield
    assert "more than 10 certificates" in space.stalled("InvalidIssuer", "web-2"), "the CA is not refused"


@attack("F1")
def large_ca_key(target: AttackTarget) -> Iterator[None]:
    """A CA with a key of 30,000 bits signs three certificates."""
    (space,) = target.spaces()
    write_secret(space, "ca", corpus.big_authority(30_000))
    for number in range(3):
        signed(space, f"web-{number}")
    yield
    assert "8192 bits at most" in space.stalled("InvalidIssuer", "web-2"), "the key is not refused"


@attack("F1")
def large_client_key(target: AttackTarget) -> Iterator[None]:
    """A kubeconfig shows servers a key of 40,000 bits."""
    (space,) = target.spaces()
    key = corpus.rsa_key(40_000)
    shown = corpus.certificate("client", "root", corpus.ec_key(), key)
    _write_kubeconfig(space, _kubeconfig(shown, corpus.private(key)))
    yield
    until_refused(space, "far")


@attack("F1")
def adopted_keys(target: AttackTarget) -> Iterator[None]:
    """Ten Secrets with a key of 30,000 bits, or of 700 KB, are adopted as keys of RSA."""
    (space,) = target.spaces()
    large = corpus.rsa_key(30_000)
    block = b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 700_000 + b"\n-----END PRIVATE KEY-----"
    for number in range(10):
        key = corpus.private(large) if number % 2 else block
        write_secret(space, f"found-{number}", {"0.key": key, "0.pub": corpus.public(large)})
        space.manage(large_key(0, 3072), name=f"found-{number}", target={"adopt": "IfUnowned"})
    yield
    until_looked_at(space)


@attack("F1")
def template_bombs(target: AttackTarget) -> Iterator[None]:
    """180 templates in three namespaces loop, grow and nest as much as they may."""
    spaces = target.spaces(3)
    texts = list(corpus.TEMPLATES.values()) * 15

    def bomb(job: tuple[Space, int]) -> None:
        space, number = job
        page = {"template": {"data": {"page": texts[number]}}}
        space.manage(password(), name=f"bomb-{number}", target=page)

    target.each([(space, number) for space in spaces for number in range(len(texts))], bomb)
    yield
    for space in spaces:
        until_looked_at(space)


@attack("F1")
def paths_through_json(target: AttackTarget) -> Iterator[None]:
    """Sixty stores follow costly JSONPaths through wide and deep documents, a third of them as much as they may."""
    (space,) = target.spaces()
    bodies = {
        "wide": corpus.wide_json(),
        "deep": corpus.deep_json(),
        "most": json.dumps([{"a": "b"}] * 4900).encode(),
    }
    with store_proxy("") as server:
        server.fault = lambda asked: refuse(200, bodies.get(asked.path.strip("/"), b"{}"))
        for number in range(40):
            path = corpus.JSONPATHS[number % len(corpus.JSONPATHS)]
            url = f"{server.address}/{{{{ key }}}}"
            Stores(space, Path()).write(
                {"webhook": {"url": url, "result": {"jsonPath": path}}}, f"store-{number}"
            )
            key = "wide" if number % 2 else "deep"
            space.manage(pulled("it", key, f"store-{number}"), name=f"path-{number}")
        most = {"url": f"{server.address}/{{{{ key }}}}", "result": {"jsonPath": _MOST_OF_A_PATH}}
        for number in range(20):
            Stores(space, Path()).write({"webhook": most}, f"most-{number}")
            space.manage(pulled("it", "most", f"most-{number}"), name=f"most-{number}")
        yield
        until_looked_at(space)


@attack("F1")
def rare_schedules(target: AttackTarget) -> Iterator[None]:
    """A hundred objects have sixteen windows each that open on a 29th of February."""
    (space,) = target.spaces()
    windows = [{"cron": cron, "duration": "1h"} for cron in corpus.CRONS[:16]]
    for number in range(100):
        rotation = {"every": "90d", "windows": windows}
        space.manage(password(), name=f"rare-{number}", rotation=rotation)
    yield
    until_looked_at(space)


@attack("F1")
def documents(target: AttackTarget) -> Iterator[None]:
    """Kubeconfigs of YAML that grows or nests, .env files that refer to themselves, and too many properties."""
    (space,) = target.spaces()
    bodies = {str(many): corpus.wide_json(many) for many in (40_000, 1000)}
    contents = [corpus.yaml_bomb(), corpus.deep_yaml(), b"a: " + b"[[" * 20_000, b"- " * 30_000]
    for number, content in enumerate(contents):
        _write_kubeconfig(space, content, f"far-{number}")
    for name, lines in (("lines", 20_000), ("most", 50)):
        write_secret(space, name, {".env": corpus.dotenv(lines)})
        Stores(space, Path()).write({"dotenv": {"secretRef": {"name": name, "key": ".env"}}}, name)
        space.manage(pulled("it", "A1", name), name=name)
    with store_proxy("") as server:
        server.fault = lambda asked: refuse(200, bodies.get(asked.path.strip("/"), b"{}"))
        Stores(space, Path()).write({"webhook": {"url": f"{server.address}/{{{{ key }}}}"}}, "wide")
        for many in bodies:
            all_ = {"storeRef": {"name": "wide"}, "remoteRef": {"key": many}}
            space.create(_of_everything(f"wide-{many}", all_))
        yield
        until_looked_at(space)
        for number in range(len(contents)):
            until_refused(space, f"far-{number}")


@attack("F7")
def slow_generators(target: AttackTarget) -> Iterator[None]:
    """Sixty objects with eight keys of 8192 bits each; a neighbour asks for a login and a certificate."""
    (space,) = target.spaces()
    keys = [large_key(number, 8192) for number in range(8)]
    for number in range(60):
        space.manage(*keys, name=f"keys-{number}")
    yield
    other = target.namespace("next-door")
    for name, recipe in (("basicAuth", {}), ("certificate", {"commonName": "shop.test"})):
        wait = first(target, other, made("it", **{name: recipe}), name=name.lower())
        assert wait.own <= _SOON, f"a neighbour's {name} takes {wait.own:.1f} s"


def until_looked_at(space: Space) -> None:
    """Wait until the status of every object says something of its spec."""

    def said(body: Body) -> bool:
        status = body.get("status") or {}
        return bool(status.get("observedGeneration") == body["metadata"]["generation"])

    def everything() -> bool:
        return all(map(said, space.objects.all("ManagedSecret", space.namespace)))

    eventually(everything, "a look at everything", _PATIENCE)


def until_refused(space: Space, store: str) -> None:
    """Wait until a store is said not to be ready."""
    is_refused = partial(_has_no, space, store)
    eventually(is_refused, f"a refusal of the store {store}", _PATIENCE)


def _has_no(space: Space, store: str) -> bool:
    ready = Stores(space, Path()).condition("Ready", store)
    return ready is not None and ready["status"] == "False"


def _write_kubeconfig(space: Space, content: bytes, name: str = "far") -> None:
    write_secret(space, name, {"config": content})
    settings = {"kubeconfigRef": {"name": name, "key": "config"}, "namespace": "shop"}
    Stores(space, Path()).write({"kubernetes": settings}, name)
    space.manage(pulled("it", "any", name), name=name)


def _kubeconfig(certificate: bytes, key: bytes) -> bytes:
    shown = {
        "client-certificate-data": base64.b64encode(certificate).decode(),
        "client-key-data": base64.b64encode(key).decode(),
    }
    config: dict[str, Any] = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": shown}],
    }
    return json.dumps(config).encode()


def _of_everything(name: str, ref: Body) -> Body:
    spec = {"dataFrom": [ref]}
    return {"kind": "ManagedSecret", "metadata": {"name": name}, "spec": spec}
