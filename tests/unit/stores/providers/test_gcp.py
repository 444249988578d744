"""What is special about Google Cloud: versions and their states, who signs what, and what its refusals mean."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import google_crc32c
import jwt
import pydantic
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from keyturn.core.value import Value
from keyturn.stores.providers import Policy, Provider, WriteResult, discover, errors
from keyturn.stores.providers.guard import Guard
from tests.support.api_servers import Scripted, answer
from tests.unit.stores.providers.gcp.fake_google_cloud import (
    EMAIL,
    HOST,
    POOL,
    REFERENCE,
    Google,
    guarding,
    key_json,
    store,
)
from tests.unit.stores.providers.gcp.fake_secret_manager import AUDIENCE, Refusal, accessed
from tests.unit.stores.providers.moto_server import free_port
from tests.unit.stores.providers.provider_fixtures import failing_without
from tests.unit.stores.providers.resolver import Names
from tests.unit.stores.providers.tls_server import serving_tls

CANARY = "canary-of-an-answer"
SERVICE_ACCOUNT_TOKEN = "canary.token-of.service-account"  # noqa: S105  # of nobody
EMAIL_TO_ACT_AS = "writer@shop.iam.gserviceaccount.com"


@pytest.fixture
async def guard(google: Google) -> AsyncIterator[Guard]:
    async with guarding(google) as guard:
        yield guard


@pytest.fixture
def manager(google: Google, guard: Guard) -> Provider[Any]:
    return store(guard, google.address)


@pytest.fixture
def instead(google: Google) -> Callable[[object], None]:
    """Let something else answer in place of the service."""

    def answers(body: object) -> None:
        async def answering() -> web.Response:
            if isinstance(body, Refusal):
                return body.answer
            return web.json_response(text=body if isinstance(body, str) else json.dumps(body))

        google.service.instead = answering

    return answers


failing = failing_without(CANARY, "PRIVATE KEY", SERVICE_ACCOUNT_TOKEN)


def named(key: str) -> str:
    return f"projects/shop/secrets/{key}"


# Secrets and their versions


async def test_a_number_an_alias_and_latest_name_versions(
    manager: Provider[Any], google: Google, prefix: str
) -> None:
    google.service.seed(named(prefix), b"one", b"two", b"three").aliases["stable"] = 2
    read = [await manager.read(prefix, version) for version in ("1", "stable", "latest", None)]
    assert [found.content for found in read] == [
        Value(b"one"),
        Value(b"two"),
        Value(b"three"),
        Value(b"three"),
    ]
    assert [found.version for found in read] == ["1", "2", "3", "3"]


@pytest.mark.parametrize("state", ["DISABLED", "DESTROYED"])
async def test_a_version_that_is_disabled_or_destroyed_is_not_found(
    manager: Provider[Any], google: Google, prefix: str, state: str
) -> None:
    google.service.seed(named(prefix), b"one", b"two").versions[1].state = state
    refused = await failing(manager.read(prefix))
    assert (type(refused), refused.code) == (errors.UnusableError, "Disabled")
    assert isinstance(refused, errors.NotFound)
    assert type(await failing(manager.inspect(prefix))) is errors.UnusableError
    assert (await manager.read(prefix, "1")).content == Value(b"one")


@pytest.mark.parametrize("version", ["../1", "1/../../x", "a b", "", "v" * 64, "é"])
async def test_what_is_no_version_is_refused(manager: Provider[Any], version: str) -> None:
    assert (await failing(manager.read("a", version))).code == "InvalidVersion"


@pytest.mark.parametrize("key", ["a/b", "a.b", "a:b", "é", "k" * 256, "a b"])
async def test_what_is_no_name_of_a_secret_is_not_even_asked_for(
    manager: Provider[Any], google: Google, key: str
) -> None:
    before = len(google.service.asked)
    assert (await failing(manager.read(key))).code == "InvalidKey"
    assert len(google.service.asked) == before


async def test_bytes_of_64_kib_are_written_and_read_as_they_are(manager: Provider[Any], prefix: str) -> None:
    content = Value(bytes(range(256)) * 256)
    await manager.write(prefix, content)
    assert (await manager.read(prefix)).content == content
    assert (await manager.write(prefix, content)).outcome is WriteResult.UNCHANGED


async def test_a_byte_more_than_the_service_takes_is_refused_before_anything_is_made(
    manager: Provider[Any], google: Google, prefix: str
) -> None:
    refused = await failing(manager.write(prefix, Value(b"x" * 65537)))
    assert (type(refused), refused.code) == (errors.Refused, "TooLarge")
    assert named(prefix) not in google.service.secrets


async def test_content_that_its_checksum_does_not_fit_is_not_handed_on(
    manager: Provider[Any], instead: Callable[[object], None]
) -> None:
    instead(accessed("a/versions/1", b"changed", google_crc32c.value(b"content")))
    refused = await failing(manager.read("a"))
    assert (type(refused), refused.code) == (errors.Unreachable, "ChecksumMismatch")


@pytest.mark.parametrize(
    ("content", "checksum"),
    # Source: RFC 3720, B.4, and the check value of CRC-32C.
    [(b"123456789", 0xE3069283), (b"\0" * 32, 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)],
    ids=["the check value", "zeros", "ones"],
)
async def test_content_that_its_checksum_fits_is_read(
    manager: Provider[Any], instead: Callable[[object], None], content: bytes, checksum: int
) -> None:
    instead(accessed("a/versions/1", content, checksum))
    assert (await manager.read("a")).content == Value(content)


def test_checksums_do_not_block_the_event_loop() -> None:
    # In Python 64 KiB take 19 ms.
    assert google_crc32c.implementation == "c"


async def test_what_we_create_says_who_made_it_and_is_everywhere(
    manager: Provider[Any], google: Google, prefix: str
) -> None:
    await manager.write(prefix, Value(b"x"))
    made = google.service.secrets[named(prefix)]
    assert (made.labels, made.replication) == ({"managed-by": "keyturn"}, "automatic")


async def test_secrets_of_a_region_are_kept_in_it(google: Google, guard: Guard, prefix: str) -> None:
    regional = store(guard, google.address, location="europe-west3")
    await regional.write(prefix, Value(b"x"))
    assert (await regional.read(prefix)).content == Value(b"x")
    assert google.service.secrets[f"projects/shop/locations/europe-west3/secrets/{prefix}"].replication == ""


@pytest.mark.parametrize(
    ("location", "host"),
    [
        (None, "secretmanager.googleapis.com"),
        ("europe-west3", "secretmanager.europe-west3.rep.googleapis.com"),
    ],
)
async def test_without_an_endpoint_the_public_one_is_asked(
    google: Google, prefix: str, location: str | None, host: str
) -> None:
    parent = "projects/shop" + (f"/locations/{location}" if location else "")
    google.service.seed(f"{parent}/secrets/{prefix}", b"x")
    async with guarding(google, {host: google.port}) as guard:
        public = store(guard, None, **({"location": location} if location else {}))
        assert (await public.read(prefix)).content == Value(b"x")


async def test_a_secret_that_has_waited_for_a_version_gets_one(
    manager: Provider[Any], google: Google, prefix: str
) -> None:
    google.service.seed(named(prefix), age=61)
    assert (await manager.write(prefix, Value(b"x"))).outcome is WriteResult.CREATED


async def test_a_user_who_has_just_made_a_secret_writes_its_first_version(
    manager: Provider[Any], google: Google, prefix: str
) -> None:
    google.service.seed(named(prefix), age=30)
    refused = await failing(manager.write(prefix, Value(b"x"), Policy.IF_NOT_EXISTS))
    assert isinstance(refused, errors.Conflict)
    assert google.service.secrets[named(prefix)].versions == []


async def test_a_secret_whose_newest_version_is_disabled_is_written_again(
    manager: Provider[Any], google: Google, prefix: str
) -> None:
    google.service.seed(named(prefix), b"old").versions[0].state = "DISABLED"
    written = await manager.write(prefix, Value(b"x"))
    assert (written.outcome, written.version) == (WriteResult.CREATED, "2")


async def test_a_secret_whose_newest_version_is_disabled_exists(
    manager: Provider[Any], google: Google, prefix: str
) -> None:
    google.service.seed(named(prefix), b"old").versions[0].state = "DISABLED"
    written = await manager.write(prefix, Value(b"x"), Policy.IF_NOT_EXISTS)
    assert (written.outcome, len(google.service.secrets[named(prefix)].versions)) == (WriteResult.KEPT, 1)


# Who we are


async def test_a_key_signs_for_secret_manager_alone_and_for_ten_minutes(
    manager: Provider[Any], google: Google, prefix: str
) -> None:
    await failing(manager.read(f"{prefix}absent"))
    token = google.service.asked[-1].headers["Authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, options={"verify_signature": False})
    issued = claims.pop("iat") + 60  # a minute before, for clocks that differ
    lasts = claims.pop("exp") - issued
    assert claims == {"iss": EMAIL, "sub": EMAIL, "aud": AUDIENCE}
    assert (lasts, issued <= time.time()) == (600, True)


async def test_the_service_is_shown_nothing_else_whatever_the_environment_holds(
    google: Google, guard: Guard, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "adc.json").write_text(key_json("stranger", client_email=f"{CANARY}@shop.test"))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "adc.json"))
    for name in ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_QUOTA_PROJECT"):
        monkeypatch.setenv(name, CANARY)
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    google.service.seed(named(prefix), b"x")
    opened = store(guard, google.address)
    await opened.read(prefix)
    (asked,) = google.service.asked
    assert asked.headers.keys() == {
        *("Host", "Accept", "Accept-Encoding", "User-Agent", "Authorization", "Content-Type")
    }
    assert CANARY not in str(asked)


async def test_without_a_login_none_is_looked_for(
    google: Google, guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "adc.json").write_text(key_json())
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "adc.json"))
    before = len(google.service.asked)
    opened = store(guard, google.address, referred={})
    refused = await failing(opened.read("a"))
    assert (type(refused), refused.code, len(google.service.asked)) == (
        errors.Unauthorized,
        "NoLogin",
        before,
    )


async def test_many_who_read_at_once_share_one_token(
    manager: Provider[Any], google: Google, prefix: str
) -> None:
    google.service.seed(named(prefix), b"x")
    before = len(google.service.asked)
    await asyncio.gather(*(manager.read(prefix) for _ in range(20)))
    assert len({asked.headers["Authorization"] for asked in google.service.asked[before:]}) == 1


def no_rsa() -> str:
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(*pem).decode()


HOSTILE_KEYS = {
    "empty": "",
    "no JSON": f"{{{CANARY}",
    "a list": "[]",
    "a file of the operator": json.dumps(
        {"type": "external_account", "credential_source": {"file": "/etc/passwd"}, "audience": CANARY}
    ),
    "a program": json.dumps(
        {"type": "external_account", "credential_source": {"executable": {"command": "/bin/id"}}}
    ),
    "a person": json.dumps({"type": "authorized_user", "refresh_token": CANARY}),
    "without an ID": key_json(private_key_id=""),
    "an ID with a line": key_json(private_key_id="a\nb"),
    "without an email": key_json(client_email=None),
    "another token_uri": key_json(token_uri=f"https://{CANARY}.example/token"),
    "another universe": key_json(universe_domain="apis.example"),
    "no PEM": key_json(private_key=CANARY),
    "a list as PEM": json.dumps({**json.loads(key_json()), "private_key": [CANARY]}),
    "no RSA": key_json(private_key=no_rsa()),
    "a very long key": key_json(private_key="A" * 4000 + "\n" + json.loads(key_json())["private_key"]),
    "a very long file": key_json(x="y" * 20_000),
}


@pytest.mark.parametrize("key", HOSTILE_KEYS.values(), ids=HOSTILE_KEYS)
async def test_what_is_no_service_accounts_key_is_no_login(google: Google, guard: Guard, key: str) -> None:
    before = len(google.service.asked)
    opened = store(guard, google.address, key=key)
    refused = await failing(opened.read("a"))
    assert (type(refused), refused.code) == (errors.Unauthorized, "NoLogin")
    assert len(google.service.asked) == before


async def test_a_user_who_wants_to_use_the_operators_own_login_reads_what_to_write_instead(
    google: Google, guard: Guard
) -> None:
    opened = store(guard, google.address, key=HOSTILE_KEYS["a file of the operator"])
    assert "workloadIdentity" in (await failing(opened.read("a"))).hint


@pytest.mark.parametrize("auth", [{}, {"secretRef": {"name": "a", "key": "b"}, "workloadIdentity": None}])
def test_a_store_has_exactly_one_login(auth: dict[str, Any]) -> None:
    if auth:
        auth = {**auth, "workloadIdentity": identity()["workloadIdentity"]}
    with pytest.raises(pydantic.ValidationError, match="exactly one of secretRef and workloadIdentity"):
        discover()["gcpSecretManager"].Config.model_validate({"projectId": "shop", "auth": auth})


# Workload identity


def identity(audience: str = f"//iam.googleapis.com/{POOL}", email: str | None = None) -> dict[str, Any]:
    written = {"serviceAccountRef": {"name": "app"}, "audience": audience}
    return {"workloadIdentity": {**written, **({"serviceAccountEmail": email} if email else {})}}


class Pool:
    """Where tokens are exchanged, and what it was asked."""

    def __init__(self, google: Google, *answers: web.Response | float) -> None:
        self.google = google
        self.script = Scripted(*answers)
        self.forms: list[dict[str, list[str]]] = []
        self.tokens_asked: list[tuple[str, str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.forms.append(parse_qs(await request.text()))
        return await self.script.handle(request)

    async def token_of(self, name: str, audience: str) -> Value:
        self.tokens_asked.append((name, audience))
        return Value.of_text(SERVICE_ACCOUNT_TOKEN)

    @asynccontextmanager
    async def store(self, auth: Any) -> AsyncIterator[Provider[Any]]:
        async with serving_tls(self.google.server, "localhost", self.handle) as pool:
            port = int(pool.rpartition(":")[2])
            ports = {"sts.googleapis.com": port, "iamcredentials.googleapis.com": port}
            async with guarding(self.google, {HOST: self.google.port, **ports}) as guard:
                opened = store(
                    guard,
                    self.google.address,
                    auth=auth,
                    referred={},
                    token_of=self.token_of,
                    namespace="shop",
                )
                yield opened


def exchanged(token: str = "federated", **more: Any) -> web.Response:  # noqa: S107  # of nobody
    return answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": 3599, **more})


async def test_a_token_of_the_service_account_is_exchanged_at_the_pool(google: Google, prefix: str) -> None:
    google.service.tokens.add("federated")
    google.service.seed(named(prefix), b"x")
    pool = Pool(google, exchanged())
    async with pool.store(identity()) as opened:
        assert (await opened.read(prefix)).content == Value(b"x")
    assert pool.tokens_asked == [("app", f"https://iam.googleapis.com/{POOL}")]
    assert pool.forms == [
        {
            "grant_type": ["urn:ietf:params:oauth:grant-type:token-exchange"],
            "audience": [f"//iam.googleapis.com/{POOL}"],
            "scope": ["https://www.googleapis.com/auth/cloud-platform"],
            "requested_token_type": ["urn:ietf:params:oauth:token-type:access_token"],
            "subject_token": [SERVICE_ACCOUNT_TOKEN],
            "subject_token_type": ["urn:ietf:params:oauth:token-type:jwt"],
        }
    ]
    (asked,) = pool.script.asked
    assert (asked.host, asked.path, "Authorization" in asked.headers) == (
        "sts.googleapis.com",
        "/v1/token",
        False,
    )


async def test_the_pool_of_a_gke_cluster_is_shown_a_token_for_its_namespace(google: Google) -> None:
    cluster = "https://container.googleapis.com/v1/projects/shop/locations/europe-west3/clusters/main"
    audience = f"identitynamespace:shop.svc.id.goog:{cluster}"
    pool = Pool(google, exchanged())
    async with pool.store(identity(audience)) as opened:
        await failing(opened.read("absent"))
    assert pool.tokens_asked == [("app", "shop.svc.id.goog")]
    assert pool.forms[0]["audience"] == [audience]


async def test_a_service_account_of_google_cloud_is_acted_as(google: Google, prefix: str) -> None:
    google.service.tokens.add("impersonated")
    google.service.seed(named(prefix), b"x")
    pool = Pool(google, exchanged(), answer(200, {"accessToken": "impersonated", "expireTime": "2026-01-01"}))
    async with pool.store(identity(email=EMAIL_TO_ACT_AS)) as opened:
        assert (await opened.read(prefix)).content == Value(b"x")
    _, asked = pool.script.asked
    assert asked.host == "iamcredentials.googleapis.com"
    assert asked.path == f"/v1/projects/-/serviceAccounts/{EMAIL_TO_ACT_AS}:generateAccessToken"
    assert asked.headers["Authorization"] == "Bearer federated"


async def test_a_token_that_lasts_a_moment_is_generated_again(google: Google, prefix: str) -> None:
    google.service.tokens.add("federated")
    google.service.seed(named(prefix), b"x")
    pool = Pool(google, exchanged(expires_in=0))
    async with pool.store(identity()) as opened:
        for _ in range(2):
            await opened.read(prefix)
    assert len(pool.forms) == 2


async def test_a_token_that_the_service_no_longer_takes_is_generated_again(
    google: Google, prefix: str
) -> None:
    google.service.tokens.add("second")
    google.service.seed(named(prefix), b"x")
    pool = Pool(google, exchanged("first"), exchanged("second"))
    async with pool.store(identity()) as opened:
        assert type(await failing(opened.read(prefix))) is errors.Unauthorized
        assert (await opened.read(prefix)).content == Value(b"x")


@pytest.mark.parametrize(
    ("response", "meaning"),
    [
        (answer(400, {"error": "invalid_grant", "error_description": CANARY}), errors.Unauthorized),
        (answer(401, {"error": CANARY}), errors.Unauthorized),
        (answer(403, {"error": CANARY}), errors.Unauthorized),
        (answer(404, CANARY), errors.Unauthorized),
        (answer(429, {"error": CANARY}, Retry_After="7"), errors.Throttled),
        (answer(500, CANARY), errors.Unreachable),
        (answer(200, CANARY), errors.Unreachable),
        (answer(200, {"access_token": None}), errors.Unreachable),
        (answer(200, {"access_token": f"{CANARY}\r\nX-Evil: 1"}), errors.Unreachable),
        (answer(200, {"access_token": CANARY * 1000}), errors.Unreachable),
        (answer(302, {}, Location="https://evil.example"), errors.Refused),
    ],
    ids=range(11),
)
@pytest.mark.parametrize("step", ["exchange", "impersonation"])
async def test_an_exchange_that_fails_means_what_its_status_says(
    google: Google, response: web.Response, meaning: type[errors.StoreError], step: str
) -> None:
    answers = [response] if step == "exchange" else [exchanged(), response]
    pool = Pool(google, *answers)
    async with pool.store(identity(email=EMAIL_TO_ACT_AS)) as opened:
        refused = await failing(opened.read("a"))
    assert type(refused) is meaning
    assert refused.retry_after == (7.0 if meaning is errors.Throttled else None)


def test_it_says_whose_tokens_it_needs() -> None:
    provider = discover()["gcpSecretManager"]
    by_key = {"secretRef": {"name": "gcp", "key": "key.json"}}
    keyed, federated = (
        provider.Config.model_validate({"projectId": "shop", "auth": auth}) for auth in (by_key, identity())
    )
    assert (provider.needs(keyed), provider.logs_in_as(keyed)) == ((REFERENCE,), None)
    assert (provider.needs(federated), provider.logs_in_as(federated)) == ((), "app")


# What connects


@pytest.mark.parametrize(
    ("endpoint", "code"),
    [
        ("http://secretmanager.example", "PlainHttp"),
        ("https://10.0.0.1", "InsideAddress"),
        ("https://127.0.0.1:443", "InsideAddress"),
        ("https://[::1]:443", "InsideAddress"),
        ("https://secretmanager.test", "InsideAddress"),
    ],
)
async def test_an_endpoint_inside_is_asked_only_if_an_administrator_allows_it(
    endpoint: str, code: str
) -> None:
    guard = Guard(resolver=Names("127.0.0.1"))
    assert (await failing(store(guard, endpoint).read("a"))).code == code
    await guard.close()


# Trouble


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        ("NOT_FOUND", errors.NotFound),
        ("PERMISSION_DENIED", errors.Denied),
        ("UNAUTHENTICATED", errors.Unauthorized),
        ("RESOURCE_EXHAUSTED", errors.Throttled),
        ("UNAVAILABLE", errors.Unreachable),
        ("DEADLINE_EXCEEDED", errors.Unreachable),
        ("INTERNAL", errors.Unreachable),
        ("UNKNOWN", errors.Unreachable),
        ("DATA_LOSS", errors.Unreachable),
        ("ABORTED", errors.Conflict),
        ("ALREADY_EXISTS", errors.Conflict),
        ("INVALID_ARGUMENT", errors.Refused),
    ],
)
async def test_a_refusal_means_what_its_status_says(
    manager: Provider[Any],
    instead: Callable[[object], None],
    caplog: pytest.LogCaptureFixture,
    status: str,
    meaning: type[errors.StoreError],
) -> None:
    caplog.set_level(logging.DEBUG)
    instead(Refusal(status, {"reason": CANARY, "domain": CANARY}, text=CANARY))
    refused = await failing(manager.read("a"))
    assert (type(refused), refused.code) == (meaning, status.title().replace("_", ""))
    assert CANARY not in caplog.text


async def test_a_failed_precondition_elsewhere_is_a_refusal(
    manager: Provider[Any], instead: Callable[[object], None]
) -> None:
    instead(Refusal("FAILED_PRECONDITION"))
    assert type(await failing(manager.delete("a"))) is errors.Refused


async def test_a_version_whose_kms_key_is_disabled_is_not_absent(
    manager: Provider[Any], google: Google, instead: Callable[[object], None], prefix: str
) -> None:
    key = "projects/4711/locations/global/keyRings/shop/cryptoKeys/shop/cryptoKeyVersions/1"
    google.service.seed(named(prefix), b"old")
    instead(Refusal("FAILED_PRECONDITION", text=f"{key} is not enabled, current state is: DISABLED."))
    refused = await failing(manager.read(prefix))
    assert (type(refused), refused.code) == (errors.Refused, "FailedPrecondition")
    assert type(await failing(manager.write(prefix, Value(b"x")))) is errors.Refused


@pytest.mark.parametrize(
    ("told", "waits"),
    [("5s", 5.0), ("5.500s", 5.0), ("-3s", None), ("1000000000s", 86400.0), (5, 5.0), ([CANARY], None)],
    ids=range(6),
)
async def test_a_throttling_service_says_when_to_come_again(
    manager: Provider[Any],
    google: Google,
    instead: Callable[[object], None],
    told: object,
    waits: float | None,
) -> None:
    instead(Refusal("RESOURCE_EXHAUSTED", CANARY, {"retryDelay": told}))
    assert (await failing(manager.read("a"))).retry_after == waits
    assert len(google.service.asked) == 1  # the caller says when to try again


@pytest.mark.parametrize("error", [CANARY, [CANARY], {"status": f"{CANARY} in words"}, {"status": [CANARY]}])
async def test_a_refusal_without_a_status_means_what_http_says(
    manager: Provider[Any], google: Google, error: object
) -> None:
    async def answering() -> web.Response:
        return web.json_response({"error": error}, status=404)

    google.service.instead = answering
    refused = await failing(manager.read("a"))
    assert (type(refused), refused.code in {"Status404", "Unknown"}) == (errors.NotFound, True)


@pytest.mark.parametrize(
    "body",
    [
        "",
        f"no JSON {CANARY}",
        [],
        {},
        {"name": "a/versions/1"},
        {"name": "a/versions/1", "payload": [CANARY]},
        {"name": "a/versions/1", "payload": {"data": f"{CANARY}="}},
        {"name": "a/versions/1", "payload": {"data": [CANARY]}},
        {"name": "a/versions/1", "payload": {"data": "eA==", "dataCrc32c": [CANARY]}},
        accessed(CANARY, b"x"),
        accessed(f"a/versions/{CANARY}", b"x"),
    ],
    ids=range(11),
)
async def test_what_is_no_answer_is_unreachable(
    manager: Provider[Any], instead: Callable[[object], None], body: object
) -> None:
    instead(body)
    assert type(await failing(manager.read("a"))) is errors.Unreachable


@pytest.mark.parametrize("created", [None, CANARY, [CANARY], 10**18])
async def test_a_secret_of_no_known_age_is_not_written(
    manager: Provider[Any], google: Google, prefix: str, created: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    google.service.seed(named(prefix), age=61)
    monkeypatch.setattr(google.service, "_get", lambda _: {"createTime": created})
    assert (await failing(manager.write(prefix, Value(b"x")))).code == "MalformedAnswer"


async def test_a_value_larger_than_the_service_keeps_is_not_taken(
    manager: Provider[Any], instead: Callable[[object], None]
) -> None:
    instead(accessed("a/versions/1", b"x" * 100 * 1024))
    refused = await failing(manager.read("a"))
    assert (type(refused), refused.code) == (errors.Refused, "TooLarge")
