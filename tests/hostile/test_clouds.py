"""What AWS, Azure and Google Cloud answer in JSON is read by the providers' own parsers, and holds up no loop."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from keyturn.core.value import Value
from keyturn.runtime.reach import AllowedHost
from keyturn.stores.providers import Provider, ProviderContext, Reference, RemoteValue, discover
from keyturn.stores.providers.errors import StoreError
from keyturn.stores.providers.gcp.login import GcpAuth, GcpLogin
from keyturn.stores.providers.guard import Answer, Guard
from tests.hostile import answers
from tests.support.timedcalls import holds_no_loop
from tests.unit.stores.providers.azure.fake_entra_id import TENANT
from tests.unit.stores.providers.provider_fixtures import access_key, aws_settings
from tests.unit.stores.providers.resolver import Names

PROVIDERS = discover()

_CHALLENGE = (
    f'Bearer authorization="https://login.microsoftonline.com/{TENANT}", resource="https://vault.azure.net"'
)
_CLIENT = "11112222-bbbb-3333-cccc-4444dddd5555"
_POOL = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k"
_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:a"


class Cloud(Guard):
    """Lets everybody in, and answers everything else with one body."""

    status, body = 200, b""
    logs_in = True
    """Whether a login is answered as it should be."""

    async def ask(
        self, method: str, url: Any, *, headers: Mapping[str, str] | None = None, **_: Any
    ) -> Answer:
        del method
        await asyncio.sleep(0)  # as a server takes its time
        assert len(self.body) <= self.limits.size
        known = {name.lower() for name in headers or {}}
        if self.logs_in and ("/oauth2/" in str(url) or "//sts.googleapis.com" in str(url)):
            return _answer(200, json.dumps({"access_token": "t", "expires_in": 3600}).encode())
        if ".vault.azure.net" in str(url) and "authorization" not in known:
            return _answer(401, b"{}", **{"WWW-Authenticate": _CHALLENGE})
        return _answer(self.status, self.body)


def _answer(status: int, body: bytes, **headers: str) -> Answer:
    return Answer(status, CIMultiDictProxy(CIMultiDict(headers)), body)


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    cloud = Cloud([AllowedHost("aws.test")], resolver=Names("127.0.0.1"))
    yield cloud
    await cloud.close()


async def tried(store: Provider[Any]) -> None:
    """Ask for all that there is to ask for; whatever else than a StoreError comes out is a defect."""
    await _asked(
        store,
        store.check,
        partial(store.read, "shop-auth"),
        partial(store.write, "shop-auth", {"password": Value.of_text("x")}),
        partial(store.delete, "shop-auth"),
    )


async def read(store: Provider[Any]) -> None:
    """Ask for what has answers of any size."""
    await _asked(store, partial(store.read, "shop-auth"))


async def _asked(store: Provider[Any], *asked: Callable[[], Awaitable[object]]) -> None:
    for doing in asked:
        try:
            await doing()
        except StoreError:
            continue
    await store.close()


def large(bodies: Mapping[str, bytes]) -> pytest.MarkDecorator:
    """Try what costs much one by one, so that one of them is named."""
    both = {**answers.anything(), **bodies}
    return pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in both.items()])


refused_too = pytest.mark.parametrize("status", [200, 400], ids=["answered", "refused"])


# AWS

SECRET = {"ARN": _ARN, "Name": "a", "VersionId": "v", "SecretString": "x", "CreatedDate": 1.0}
PARAMETER = {"Parameter": {"Name": "a", "Type": "SecureString", "Value": "x", "Version": 1}}
REFUSAL = {"__type": "ResourceNotFoundException", "message": "x", "Message": "x"}
KINDS_OF_AWS = ("awsSecretsManager", "awsParameterStore")


def aws(kind: str, cloud: Cloud) -> Provider[Any]:
    given = ProviderContext(guard=cloud, referred=access_key(), owner="shop", patience=15.0)
    return PROVIDERS[kind](PROVIDERS[kind].Config.model_validate(aws_settings("http://aws.test")), given)


@refused_too
@large(
    {
        **answers.pages("VersionStages", shape={"a": "x"}),
        **answers.pages("Parameter", shape={"Name": "a", "Type": "String", "Value": "x", "Version": 1}),
    }
)
@holds_no_loop
async def test_what_aws_answers_is_read_apart(body: bytes, status: int, cloud: Cloud) -> None:
    cloud.status, cloud.body = status, body
    for kind in KINDS_OF_AWS:
        await read(aws(kind, cloud))


@refused_too
@pytest.mark.parametrize("kind", KINDS_OF_AWS)
async def test_an_answer_of_aws_may_have_anything_anywhere(kind: str, status: int, cloud: Cloud) -> None:
    for body in answers.wrong(SECRET, PARAMETER, REFUSAL).values():
        cloud.status, cloud.body = status, body
        await tried(aws(kind, cloud))


# Azure

_AT = "https://shop.vault.azure.net/secrets/a"
KEPT = {"value": "x", "id": f"{_AT}/1", "attributes": {"enabled": True, "exp": 1e9}, "tags": {"a": "b"}}
ERROR = {"error": {"code": "Forbidden", "message": "x", "innererror": {"code": "ForbiddenByRbac"}}}
ENTRA = {"error": "invalid_client", "error_codes": [7000215], "access_token": "t", "expires_in": 3600}


def azure(cloud: Cloud) -> Provider[Any]:
    settings = {
        "vaultUrl": "https://shop.vault.azure.net",
        "tenantId": TENANT,
        "auth": {"clientSecret": {"clientId": _CLIENT, "secretRef": {"name": "az", "key": "secret"}}},
    }
    referred = {Reference("Secret", "az", "secret"): RemoteValue(Value.of_text("s"))}
    given = ProviderContext(guard=cloud, referred=referred, owner="shop", patience=15.0)
    return PROVIDERS["azureKeyVault"](PROVIDERS["azureKeyVault"].Config.model_validate(settings), given)


TAGS = {f"t{number}": "x" for number in range(120_000)}


@refused_too
@large(
    {
        **answers.pages("value", shape={"id": _AT, "attributes": {"enabled": True}, "tags": {}}),
        "many tags": json.dumps({**KEPT, "tags": TAGS}).encode(),
        "many attributes": json.dumps({**KEPT, "attributes": TAGS}).encode(),
    }
)
@holds_no_loop
async def test_what_azure_answers_is_read_apart(body: bytes, status: int, cloud: Cloud) -> None:
    cloud.status, cloud.body = status, body
    await read(azure(cloud))


@refused_too
async def test_an_answer_of_azure_may_have_anything_anywhere(status: int, cloud: Cloud) -> None:
    for body in answers.wrong(KEPT, ERROR).values():
        cloud.status, cloud.body = status, body
        await tried(azure(cloud))


@refused_too
@large(answers.pages("error_codes", shape={}))
@holds_no_loop
async def test_what_entra_answers_is_read_apart(body: bytes, status: int, cloud: Cloud) -> None:
    cloud.status, cloud.body, cloud.logs_in = status, body, False
    await read(azure(cloud))


@refused_too
async def test_an_answer_of_entra_may_have_anything_anywhere(status: int, cloud: Cloud) -> None:
    for body in answers.wrong(ENTRA).values():
        cloud.status, cloud.body, cloud.logs_in = status, body, False
        await tried(azure(cloud))


# Google Cloud

ACCESSED = {"name": "projects/1/secrets/a/versions/1", "payload": {"data": "eA==", "dataCrc32c": "1"}}
REFUSED = {"error": {"status": "RESOURCE_EXHAUSTED", "message": "x", "details": [{"retryDelay": "5s"}]}}
_GRANTED = {"access_token": "t", "expires_in": 3600, "accessToken": "t"}


@refused_too
@large(answers.pages("access_token", shape={}))
@holds_no_loop
async def test_what_google_answers_to_a_login_is_read_apart(body: bytes, status: int, cloud: Cloud) -> None:
    cloud.status, cloud.body, cloud.logs_in = status, body, False
    await _exchanged(cloud)


@refused_too
async def test_an_answer_of_google_may_have_anything_anywhere(status: int, cloud: Cloud) -> None:
    for body in answers.wrong(_GRANTED).values():
        cloud.status, cloud.body, cloud.logs_in = status, body, False
        await _exchanged(cloud)


@large({})
@holds_no_loop
async def test_a_key_of_google_is_read_apart(body: bytes, cloud: Cloud) -> None:
    await _by_key(body, cloud)


async def test_a_key_of_google_may_have_anything_anywhere(cloud: Cloud) -> None:
    for body in answers.wrong({"type": "service_account", "private_key": "x"}).values():
        await _by_key(body, cloud)


def google(cloud: Cloud) -> Provider[Any]:
    identity = {"audience": _POOL, "serviceAccountRef": {"name": "reader"}}
    settings = {"projectId": "shop", "auth": {"workloadIdentity": identity}}
    given = ProviderContext(guard=cloud, token_of=_token_of, owner="shop", patience=15.0)
    return PROVIDERS["gcpSecretManager"](PROVIDERS["gcpSecretManager"].Config.model_validate(settings), given)


@refused_too
@large(answers.pages("versions", shape={"name": "x", "state": "ENABLED"}))
@holds_no_loop
async def test_what_secret_manager_answers_is_read_apart(body: bytes, status: int, cloud: Cloud) -> None:
    cloud.status, cloud.body = status, body
    await read(google(cloud))


@refused_too
async def test_an_answer_of_secret_manager_may_have_anything_anywhere(status: int, cloud: Cloud) -> None:
    for body in answers.wrong(ACCESSED, REFUSED).values():
        cloud.status, cloud.body = status, body
        await tried(google(cloud))


async def _token_of(*_: Any) -> Value:
    return Value.of_text("t")


async def _exchanged(cloud: Cloud) -> None:
    for email in (None, "reader@shop.iam.gserviceaccount.com"):
        identity = {"audience": _POOL, "serviceAccountRef": {"name": "reader"}, "serviceAccountEmail": email}
        auth = GcpAuth.model_validate({"workloadIdentity": identity})
        await _logged_in(auth, ProviderContext(guard=cloud, owner="shop", token_of=_token_of))


async def _by_key(content: bytes, cloud: Cloud) -> None:
    auth = GcpAuth.model_validate({"secretRef": {"name": "gcp", "key": "key.json"}})
    referred = {Reference("Secret", "gcp", "key.json"): RemoteValue(Value(content))}
    await _logged_in(auth, ProviderContext(guard=cloud, owner="shop", referred=referred))


async def _logged_in(auth: GcpAuth, given: ProviderContext) -> None:
    try:
        await GcpLogin(auth, given).token()
    except StoreError:
        return
