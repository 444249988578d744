"""No call holds up the event loop, whatever a tenant writes, by the processor time of the loop's thread."""

import asyncio
import base64
import contextlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from keyturn import generators
from keyturn.controllers.context import Context
from keyturn.controllers.managedsecret import adoption as claims
from keyturn.controllers.managedsecret import compliance
from keyturn.controllers.managedsecret import generate as stage
from keyturn.controllers.managedsecret import observe as suits
from keyturn.controllers.managedsecret.generate import GeneratedValues
from keyturn.controllers.managedsecret.leases import LeaseManager, UnrecordedLeases
from keyturn.controllers.managedsecret.pull import read_all
from keyturn.controllers.managedsecret.resolve import ParsedSpecs, resolved, template_flaw
from keyturn.controllers.managedsecret.secret_reads import SecretReads
from keyturn.core.errors import Stalled, Wait
from keyturn.core.keys import ObjectKey
from keyturn.core.observation.observed import with_facts
from keyturn.core.rotation.decision import next_step
from keyturn.core.rotation.steps import Adopt, Reason, Stage
from keyturn.core.spec.desired import Desired, resolve_spec
from keyturn.core.state.records import ItemValues, Revision
from keyturn.core.state.state import State
from keyturn.core.value import Value
from keyturn.generators import generator_for
from keyturn.kube import errors
from keyturn.kube.cache.cache import InformerCache
from keyturn.runtime.event_loop_stalls import LONGEST
from keyturn.stores import providers
from keyturn.stores.providers import ProviderContext, Reference, RemoteValue
from keyturn.stores.providers.errors import StoreError
from keyturn.stores.providers.guard import Answer
from keyturn.stores.providers.vault import auth
from tests.hostile import corpus
from tests.support.memory_stores import InMemoryStores
from tests.support.timedcalls import holds_no_loop
from tests.unit.core.builders import EVERYTHING, NOW, managed, observed, record, revision

PROVIDERS = providers.discover()
generators.discover()  # as the operator does when it starts

KEY = ObjectKey("shop", "db")
FIRST = Stage(1, Reason("Created", "it is new", frozenset(), rotates=True))
PASSWORD: dict[str, Any] = {"name": "password", "generate": {"password": {}}}


class Api:
    """Answers with Secrets, and with nothing else."""

    def __init__(self, **secrets: Mapping[str, bytes]) -> None:
        self._secrets = secrets

    async def get(self, path: str, **_: Any) -> dict[str, Any]:
        name = path.rpartition("/")[2]
        if name not in self._secrets:
            raise errors.NotFound("get", path, 404, "NotFound")
        data = {key: base64.b64encode(value).decode() for key, value in self._secrets[name].items()}
        metadata = {
            "name": name,
            "namespace": "shop",
            "uid": "u",
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        return {"metadata": metadata, "data": data, "type": "Opaque"}


class Guard:
    """Answers every request with one body."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def ask(self, *_: Any, **__: Any) -> Answer:
        return Answer(HTTPStatus.OK, CIMultiDictProxy(CIMultiDict()), self._body)


def world_with(**secrets: Mapping[str, bytes]) -> Context:
    api: Any = Api(**secrets)
    return Context(api=api, events=None, now=lambda: corpus.NOW)  # type: ignore[arg-type]  # it posts none


def wanted_for(*data: dict[str, Any], **spec: Any) -> Desired:
    return resolve_spec(
        managed({"data": list(data), **spec}), None, lambda recipe: generator_for(recipe).outputs
    )


def item(name: str, **recipe: Any) -> dict[str, Any]:
    return {"name": name, "generate": recipe}


def recorded(desired: Desired, values: Mapping[str, Mapping[str, bytes]], recipe: str = "") -> State:
    """Record values that nobody's recipe has made."""
    keys = {one.name: one.keys for one in desired.items}
    kept = {
        name: ItemValues(recipe, {output: Value(content) for output, content in outputs.items()}, keys[name])
        for name, outputs in values.items()
    }
    return record((revision(), Revision(kept)))


async def staged(context: Context, desired: Desired) -> State | Wait | Stalled:
    look = with_facts(observed({"data": [PASSWORD]}, state=None, target=None, status={}), desired=desired)
    generated = GeneratedValues()
    while True:
        try:
            return await stage.generate_revision(FIRST, KEY, look, None, generated, context)
        except Wait as wait:
            if wait.reason != "MakingValues":
                return wait
            await asyncio.sleep(0.05)
        except Stalled as stalled:
            return stalled


# That what holds the loop up is seen


async def test_a_call_that_holds_up_the_loop_is_seen_with_its_name() -> None:
    def works() -> None:
        until = time.thread_time() + 2 * LONGEST
        while time.thread_time() < until:
            pass

    @holds_no_loop
    async def test() -> None:
        asyncio.get_running_loop().call_soon(works)
        await asyncio.sleep(0.1)

    with pytest.raises(AssertionError, match="works"):
        await test()


# Certificates and keys


@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        (partial(corpus.chain, 300), Stalled),
        (partial(corpus.chain, 10, "all the same"), State),
        (partial(corpus.big_authority, 30_000), Stalled),
        (
            partial(corpus.big_authority, 8192),
            Stalled,
        ),  # what it signs does not verify: its factors are no primes
    ],
    ids=["a chain of 300", "ten of one name", "a key of 30000 bits", "a key of 8192 bits"],
)
@holds_no_loop
async def test_a_certificate_of_a_hostile_ca_is_signed_apart(
    make: Callable[[], Mapping[str, bytes]], outcome: type[object]
) -> None:
    context = world_with(ca=await asyncio.to_thread(make))
    recipe = {"commonName": "shop.test", "issuer": {"secretRef": {"name": "ca"}}}
    assert isinstance(await staged(context, wanted_for(item("web", certificate=recipe))), outcome)


@pytest.mark.parametrize(
    "recipe",
    [
        {"rsaKey": {"bits": 3072}},
        {"sshKey": {"type": "rsa"}},
        {"jwks": {"algorithm": "RS256"}},
        {"basicAuth": {}},
    ],
    ids=["rsaKey", "sshKey", "jwks", "basicAuth"],
)
@holds_no_loop
async def test_a_slow_generator_works_apart(recipe: dict[str, Any]) -> None:
    outcome = await staged(world_with(), wanted_for(item("slow", **recipe)))
    assert isinstance(outcome, State)


def _found_keys(bits: int) -> Mapping[str, bytes]:
    key = corpus.rsa_key(bits)
    return {"privateKey": corpus.private(key), "publicKey": corpus.public(key)}


def _found_certificate() -> Mapping[str, bytes]:
    return corpus.chain(300)


def _found_megabyte() -> Mapping[str, bytes]:
    block = b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 700_000 + b"\n-----END PRIVATE KEY-----"
    return {"privateKey": block, "publicKey": b"x"}


FOUND = [
    pytest.param({"rsaKey": {}}, partial(_found_keys, 30_000), id="a key of 30000 bits"),
    pytest.param({"rsaKey": {}}, _found_megabyte, id="a key of a megabyte"),
    pytest.param({"certificate": {"commonName": "shop.test"}}, _found_certificate, id="300 certificates"),
]


@pytest.mark.parametrize(("recipe", "make"), FOUND)
@holds_no_loop
async def test_what_is_adopted_is_looked_at_apart(
    recipe: dict[str, Any], make: Callable[[], Mapping[str, bytes]]
) -> None:
    outputs = await asyncio.to_thread(make)
    desired = wanted_for(item("key", **recipe))
    keys = desired.items[0].keys
    context = world_with(db={keys[output]: content for output, content in outputs.items()})
    look = with_facts(observed({"data": [PASSWORD]}, state=None), desired=desired)
    with pytest.raises(Stalled) as refused:
        await claims.adopt(Adopt(1), KEY, look, None, SecretReads(context), context)
    assert refused.value.reason == "KeyConflict"


@pytest.mark.parametrize(("recipe", "make"), FOUND)
@holds_no_loop
async def test_what_another_recipe_has_made_is_looked_at_apart(
    recipe: dict[str, Any], make: Callable[[], Mapping[str, bytes]]
) -> None:
    desired = wanted_for(item("key", **recipe))
    state = recorded(desired, {"key": await asyncio.to_thread(make)})
    assert await suits.find_mismatched_items(KEY, desired, state) == {"key"}


@holds_no_loop
async def test_many_large_values_are_judged_apart() -> None:
    desired = wanted_for(*(item(f"p{number}", password={}) for number in range(60)))
    values = {f"p{number}": {"value": b"correct horse " * 1000} for number in range(60)}
    memory = compliance.ComplianceMemory()
    await compliance.note_values(KEY, desired, recorded(desired, values), memory, InformerCache())


# Programs


@pytest.mark.parametrize("template", corpus.TEMPLATES.values(), ids=corpus.TEMPLATES.keys())
@holds_no_loop
async def test_a_template_is_checked_and_rendered_apart(template: str) -> None:
    desired = wanted_for(PASSWORD, target={"template": {"data": {"page": template}}})
    if await template_flaw("shop", desired) is None:
        await staged(world_with(), desired)


@holds_no_loop
async def test_a_schedule_of_many_rare_times_is_reckoned_at_once() -> None:
    windows = [{"cron": cron, "duration": "1h"} for cron in corpus.CRONS[:16]]
    spec = {"data": [PASSWORD], "rotation": {"every": "90d", "windows": windows}}
    _, desired, _ = resolved(managed(spec), ParsedSpecs(), InformerCache())
    assert desired is not None
    next_step(observed(spec))


# Documents of stores


@pytest.mark.parametrize("path", corpus.JSONPATHS)
@pytest.mark.parametrize("body", [corpus.wide_json(), corpus.deep_json()], ids=["wide", "deep"])
@holds_no_loop
async def test_a_jsonpath_is_followed_apart(path: str, body: bytes) -> None:
    kind = PROVIDERS["webhook"]
    config = kind.Config.model_validate({"url": "https://shop.test/{{ key }}", "result": {"jsonPath": path}})
    guard: Any = Guard(body)
    await _refusable(kind(config, ProviderContext(owner="shop", guard=guard)).read("a"))


@pytest.mark.parametrize(
    "body", [corpus.wide_json(100_000), corpus.deep_json(1_000_000)], ids=["wide", "deep"]
)
@holds_no_loop
async def test_the_json_of_vault_is_read_apart(body: bytes) -> None:
    guard: Any = Guard(body)
    await _refusable(
        auth.Http("https://vault.test", None, None, ProviderContext(owner="shop", guard=guard)).ask(
            "GET", "a"
        )
    )


@pytest.mark.parametrize(
    "content",
    [corpus.yaml_bomb(), corpus.deep_yaml(), b"a: " + b"[[" * 20_000, b"- " * 30_000],
    ids=["aliases", "depth", "depth in a key", "lists of lists"],
)
@holds_no_loop
async def test_a_kubeconfig_is_read_apart(content: bytes) -> None:
    kind = PROVIDERS["kubernetes"]
    settings = {"kubeconfigRef": {"name": "far", "key": "config"}, "namespace": "shop"}
    guard: Any = Guard(b"{}")
    referred = {Reference("Secret", "far", "config"): RemoteValue(Value(content))}
    provider = kind(
        kind.Config.model_validate(settings), ProviderContext(owner="shop", guard=guard, referred=referred)
    )
    await _refusable(provider.read("a"))


@holds_no_loop
async def test_a_dotenv_file_is_read_apart() -> None:
    kind = PROVIDERS["dotenv"]
    referred = {Reference("Secret", "env", ".env"): RemoteValue(Value(corpus.dotenv()))}
    config = kind.Config.model_validate({"secretRef": {"name": "env", "key": ".env"}})
    await _refusable(kind(config, ProviderContext(owner="shop", referred=referred)).read("A1"))


@pytest.mark.parametrize("body", [corpus.wide_json(), corpus.deep_json()], ids=["wide", "deep"])
@holds_no_loop
async def test_a_document_of_which_everything_is_taken_is_read_apart(body: bytes) -> None:
    remote: Any = InMemoryStores()
    look = observed({"data": [], "dataFrom": [EVERYTHING]}, state=None, target=None, status={})
    assert look.desired is not None
    remote.keep("prod/app", body.decode())
    borrower = LeaseManager(KEY, look.desired, None, UnrecordedLeases(), remote, lambda: NOW, reissue=())
    await read_all(KEY, look, remote, borrower, fresh=False)


async def _refusable(doing: Any) -> None:
    with contextlib.suppress(StoreError):
        await doing
