"""How stores of AWS log in: with a key, with a role, and as a ServiceAccount; whom they show what."""

import asyncio
import email.utils
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from keyturn.core.value import Value
from keyturn.stores.providers import Provider, discover, errors
from keyturn.stores.providers.aws import login
from keyturn.stores.providers.guard import Guard
from tests.support.api_servers import answer, serving
from tests.unit.stores.fast_clock import Clock
from tests.unit.stores.providers.moto_server import Moto
from tests.unit.stores.providers.provider_fixtures import (
    ACCESS_KEY,
    LOOPBACK,
    SECRET_KEY,
    access_key,
    aws_settings,
    failing_without,
    guarded,
    opened,
)
from tests.unit.stores.providers.recording_server import Heard, Recording
from tests.unit.stores.providers.resolver import Asked

BOTH = ["awsSecretsManager", "awsParameterStore"]
ROLE = "arn:aws:iam::123456789012:role/shop"
CANARY = "canary-of-an-answer"
ACCOUNT_TOKEN = "canary.token-of.the-service-account"  # noqa: S105  # of nobody
SESSION_TOKEN = "canary-session-token-of-a-role"  # noqa: S105
ROLE_SECRET = "canary-secret-key-of-the-role"  # noqa: S105


failing = failing_without(CANARY, SECRET_KEY, ROLE_SECRET, SESSION_TOKEN, ACCOUNT_TOKEN)


def given_role(number: int = 1, lasts: float = 3600) -> web.Response:
    """Answer as STS does, with the keys of a role."""
    now = datetime.now(UTC)
    ends = f"{now + timedelta(seconds=lasts):%Y-%m-%dT%H:%M:%SZ}"
    credentials = (
        f"<AccessKeyId>ASIA{number:016}</AccessKeyId><SecretAccessKey>{ROLE_SECRET}</SecretAccessKey>"
        f"<SessionToken>{SESSION_TOKEN}</SessionToken><Expiration>{ends}</Expiration>"
    )
    results = "".join(
        f"<{name}Result><Credentials>{credentials}</Credentials></{name}Result>"
        for name in ("AssumeRole", "AssumeRoleWithWebIdentity")
    )
    body = f'<Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{results}</Response>'
    return web.Response(text=body, headers={"Date": email.utils.format_datetime(now, usegmt=True)})


def refusing_role(status: int, code: str) -> web.Response:
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>{CANARY}</Message></Error></ErrorResponse>"
    return web.Response(status=status, text=body)


class FakeAws:
    """An STS and a store that record their requests."""

    def __init__(self) -> None:
        self.roles: list[web.Response] = []
        """What STS answers in turn; where there is no more, a role of an hour."""
        self.values: list[web.Response] = []
        self.asked_for: list[tuple[str, str]] = []
        self.sts = Recording(self._role)
        self.store = Recording(self._value)

    def _role(self, _: Heard) -> web.Response:
        return self.roles.pop(0) if self.roles else given_role(len(self.sts.heard))

    def _value(self, _: Heard) -> web.Response:
        return self.values.pop(0) if self.values else answer(400, {"__type": "ResourceNotFoundException"})

    async def token_of(self, account: str, audience: str) -> Value:
        self.asked_for.append((account, audience))
        return Value.of_text(ACCOUNT_TOKEN)


@pytest.fixture
def aws() -> FakeAws:
    return FakeAws()


class AwsStores:
    """Opens stores of a fake AWS."""

    def __init__(self, aws: FakeAws, sts: str, store: str, guard: Guard) -> None:
        self._aws = aws
        self._base = {**aws_settings(store), "stsEndpoint": sts}
        self._guard = guard

    def by_key(self, kind: str = "awsSecretsManager", **settings: Any) -> Provider[Any]:
        known = {"guard": self._guard, "referred": access_key(), "namespace": "shop"}
        return opened(kind, {**self._base, **settings}, **known)

    def by_identity(self, kind: str = "awsSecretsManager") -> Provider[Any]:
        auth = {"webIdentity": {"serviceAccountRef": {"name": "reader"}}}
        return opened(
            kind,
            {**self._base, "auth": auth, "roleArn": ROLE},
            guard=self._guard,
            namespace="shop",
            token_of=self._aws.token_of,
        )


@pytest.fixture
async def stores(aws: FakeAws) -> AsyncIterator[AwsStores]:
    async with serving(aws.sts.handle) as sts, serving(aws.store.handle) as store, guarded(LOOPBACK) as guard:
        yield AwsStores(aws, sts, store, guard)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(login, "loop_time", clock)
    return clock


# Roles


@pytest.mark.parametrize("kind", BOTH)
async def test_a_role_is_taken_with_the_access_key_and_signs_what_follows(
    kind: str, aws: FakeAws, stores: AwsStores
) -> None:
    await failing(stores.by_key(kind, roleArn=ROLE, externalId="shop-42").read("a"))

    (asked,) = aws.sts.heard
    assert {
        name: asked.form.get(name) for name in ("Action", "RoleArn", "RoleSessionName", "ExternalId")
    } == {"Action": "AssumeRole", "RoleArn": ROLE, "RoleSessionName": "keyturn-shop", "ExternalId": "shop-42"}
    assert f"Credential={ACCESS_KEY}/" in asked.headers["Authorization"]
    (read,) = aws.store.heard
    assert "Credential=ASIA0000000000000001/" in read.headers["Authorization"]
    assert read.headers["X-Amz-Security-Token"] == SESSION_TOKEN
    for secret in (SECRET_KEY, ROLE_SECRET):
        assert secret.encode() not in asked.words + read.words


async def test_a_service_account_takes_a_role_with_a_token_for_sts_alone(
    aws: FakeAws, stores: AwsStores
) -> None:
    await failing(stores.by_identity().read("a"))

    (asked,) = aws.sts.heard
    assert aws.asked_for == [("reader", "sts.amazonaws.com")]
    assert (asked.form["Action"], asked.form["WebIdentityToken"]) == (
        "AssumeRoleWithWebIdentity",
        ACCOUNT_TOKEN,
    )
    assert "Authorization" not in asked.headers
    (read,) = aws.store.heard
    assert "Credential=ASIA0000000000000001/" in read.headers["Authorization"]
    assert ACCOUNT_TOKEN.encode() not in read.words


async def test_many_reads_take_a_role_once(aws: FakeAws, stores: AwsStores) -> None:
    store = stores.by_key(roleArn=ROLE)
    await asyncio.gather(*(failing(store.read(f"a{number}")) for number in range(20)))
    assert (len(aws.sts.heard), len(aws.store.heard)) == (1, 20)


async def test_keys_of_a_role_are_replaced_minutes_before_they_end(
    aws: FakeAws, stores: AwsStores, clock: Clock
) -> None:
    store = stores.by_identity()
    for passed, taken in ((0, 1), (3299, 1), (2, 2)):
        clock.now += passed
        await failing(store.read("a"))
        assert len(aws.sts.heard) == taken
    assert "Credential=ASIA0000000000000002/" in aws.store.heard[-1].headers["Authorization"]


async def test_a_shorter_end_that_sts_names_counts_by_its_own_clock(
    aws: FakeAws, stores: AwsStores, clock: Clock
) -> None:
    aws.roles = [given_role(1, lasts=900)]
    store = stores.by_key(roleArn=ROLE)
    for passed, taken in ((0, 1), (599, 1), (2, 2)):
        clock.now += passed
        await failing(store.read("a"))
        assert len(aws.sts.heard) == taken


@pytest.mark.parametrize("trouble", [refusing_role(500, "InternalFailure"), refusing_role(400, "Throttling")])
async def test_while_sts_is_away_keys_are_used_to_their_end(
    aws: FakeAws, stores: AwsStores, clock: Clock, trouble: web.Response
) -> None:
    store = stores.by_key(roleArn=ROLE)
    await failing(store.read("a"))
    clock.now += 3400
    aws.roles = [trouble]
    assert (await failing(store.read("a"))).code == "ResourceNotFoundException"
    clock.now += 200
    aws.roles = [refusing_role(500, "InternalFailure")]
    assert isinstance(await failing(store.read("a")), errors.Unreachable)


async def test_keys_that_the_store_calls_expired_are_replaced_once(aws: FakeAws, stores: AwsStores) -> None:
    store = stores.by_key(roleArn=ROLE)
    ended = {"__type": "ExpiredTokenException"}
    aws.values = [answer(400, ended), answer(400, {"__type": "ResourceNotFoundException"})]
    assert (await failing(store.read("a"))).code == "ResourceNotFoundException"
    aws.values = [answer(400, ended), answer(400, ended)]
    assert isinstance(await failing(store.read("a")), errors.Unauthorized)
    assert len(aws.sts.heard) == 3


async def test_an_access_key_that_is_called_expired_is_not_tried_again(
    aws: FakeAws, stores: AwsStores
) -> None:
    aws.values = [answer(400, {"__type": "ExpiredTokenException"})] * 2
    refused = await failing(stores.by_key().read("a"))
    assert (type(refused), len(aws.store.heard), len(aws.sts.heard)) == (errors.Unauthorized, 1, 0)


@pytest.mark.parametrize(
    ("response", "meaning", "code"),
    [
        (refusing_role(403, "AccessDenied"), errors.Unauthorized, "AccessDenied"),
        (refusing_role(400, "ValidationError"), errors.Unauthorized, "ValidationError"),
        (refusing_role(400, "InvalidIdentityToken"), errors.Unauthorized, "InvalidIdentityToken"),
        (refusing_role(400, "ExpiredTokenException"), errors.Unauthorized, "ExpiredTokenException"),
        (refusing_role(403, "InvalidClientTokenId"), errors.Unauthorized, "InvalidClientTokenId"),
        (refusing_role(400, "Throttling"), errors.Throttled, "Throttling"),
        (refusing_role(400, "IDPCommunicationError"), errors.Unreachable, "IDPCommunicationError"),
        (web.Response(text=f"<{CANARY}"), errors.Unreachable, "MalformedAnswer"),
        (web.Response(text="<Response/>"), errors.Unreachable, "MalformedAnswer"),
    ],
    ids=range(9),
)
async def test_a_role_that_is_not_given_is_a_refused_login(
    aws: FakeAws, stores: AwsStores, response: web.Response, meaning: type[errors.StoreError], code: str
) -> None:
    aws.roles = [response]
    refused = await failing(stores.by_identity().read("a"))
    assert (type(refused), refused.code, aws.store.heard) == (meaning, code, [])


@pytest.mark.parametrize("missing", ["SessionToken", "AccessKeyId", "Credentials"])
async def test_keys_with_a_part_missing_are_not_used(aws: FakeAws, stores: AwsStores, missing: str) -> None:
    text = given_role().text or ""
    aws.roles = [web.Response(text=text.replace(missing, "Other"))]
    assert (await failing(stores.by_key(roleArn=ROLE).read("a"))).code == "MalformedAnswer"
    assert aws.store.heard == []


@pytest.mark.parametrize(
    ("endpoint", "code"),
    [
        ("https://sts.amazonaws.com", "InsideAddress"),
        ("https://sts.eu-central-1.amazonaws.com/", "InsideAddress"),
        ("https://sts-fips.us-east-1.amazonaws.com", "InsideAddress"),
        ("https://sts.cn-north-1.amazonaws.com.cn", "InsideAddress"),
        ("https://sts.eu-central-1.api.aws", "InsideAddress"),
        ("https://vpce-0a-1b.sts.eu-central-1.vpce.amazonaws.com:443", "InsideAddress"),
        ("https://sts.example.com", "ForeignSts"),
        ("https://sts.eu-central-1.amazonaws.com.example.com", "ForeignSts"),
        ("https://ec2-203-0-113-7.compute-1.amazonaws.com", "ForeignSts"),
        ("https://sts.s3.amazonaws.com", "ForeignSts"),
        ("https://sts.eu-central-1.elb.amazonaws.com", "ForeignSts"),
        ("https://vpce-0a.vpce-svc-1b.eu-central-1.vpce.amazonaws.com", "ForeignSts"),
        ("https://sts.eu-central-1.amazonaws.com:8443", "ForeignSts"),
        ("http://sts.eu-central-1.amazonaws.com", "ForeignSts"),
    ],
)
async def test_a_token_of_an_account_goes_to_aws_alone(endpoint: str, code: str, aws: FakeAws) -> None:
    auth = {"webIdentity": {"serviceAccountRef": {"name": "reader"}}}
    settings = {**aws_settings(""), "endpoint": None, "auth": auth, "roleArn": ROLE, "stsEndpoint": endpoint}
    guard = Guard(resolver=Asked())  # every name leads inside
    store = opened("awsSecretsManager", settings, guard=guard, namespace="shop", token_of=aws.token_of)

    refused = await failing(store.read("a"))

    await guard.close()
    assert (type(refused), refused.code) == (errors.Refused, code)
    assert (aws.asked_for == []) is (code == "ForeignSts")


async def test_an_sts_inside_is_never_asked() -> None:
    async with guarded() as guard:
        settings = {**aws_settings("https://example.com"), "stsEndpoint": "https://10.0.0.1", "roleArn": ROLE}
        store = opened("awsSecretsManager", settings, guard=guard, referred=access_key())
        refused = await failing(store.read("a"))
    assert (type(refused), refused.code) == (errors.Refused, "InsideAddress")


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-central-1", "sts.eu-central-1.amazonaws.com"),
        ("us-east-1", "sts.us-east-1.amazonaws.com"),
        ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
    ],
)
async def test_sts_is_asked_in_the_region_of_the_store(
    region: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_STS_REGIONAL_ENDPOINTS", "legacy")
    names = Asked()
    guard = Guard(resolver=names)
    settings = {**aws_settings(""), "region": region, "roleArn": ROLE, "endpoint": None}
    store = opened("awsSecretsManager", settings, guard=guard, referred=access_key())
    assert (await failing(store.read("a"))).code == "InsideAddress"
    await guard.close()
    assert names.hosts == [host]


# Looking whether the login works


async def test_a_look_asks_sts_who_we_are_and_no_value(aws: FakeAws, stores: AwsStores) -> None:
    identity = "<Response><GetCallerIdentityResult><Account>1</Account></GetCallerIdentityResult></Response>"
    aws.roles = [given_role(), web.Response(text=identity)]
    await stores.by_key(roleArn=ROLE).check()
    assert [one.form["Action"] for one in aws.sts.heard] == ["AssumeRole", "GetCallerIdentity"]
    assert "Credential=ASIA0000000000000001/" in aws.sts.heard[1].headers["Authorization"]
    assert aws.store.heard == []


async def test_a_look_at_a_key_that_sts_does_not_know_is_refused(aws: FakeAws, stores: AwsStores) -> None:
    aws.roles = [refusing_role(403, "InvalidClientTokenId")]
    refused = await failing(stores.by_key().check())
    assert type(refused) is errors.Unauthorized


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException"])
async def test_where_sts_may_be_at_another_address_a_look_asks_the_store(aws: FakeAws, code: str) -> None:
    aws.values = [answer(400, {"__type": code})]
    async with serving(aws.store.handle) as store, guarded(LOOPBACK) as guard:
        known = {"guard": guard, "referred": access_key()}
        await opened("awsSecretsManager", aws_settings(store), **known).check()
    assert [one.json for one in aws.store.heard] == [{"SecretId": "keyturn-looks-whether-it-may-log-in"}]


# A server that knows users, roles and policies


class Account:
    """A user with an access key and a role that it may take, each allowed what a test says."""

    def __init__(self, moto: Moto) -> None:
        self._moto = moto
        self._name = f"u{secrets.token_hex(4)}"

    def user(self, *actions: str) -> dict[str, str]:
        self._ask("CreateUser", UserName=self._name)
        self._allow("User", *actions)
        made = self._ask("CreateAccessKey", UserName=self._name)
        return {"key_id": _between(made, "AccessKeyId"), "secret": _between(made, "SecretAccessKey")}

    def role(self, *actions: str) -> str:
        trust = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
        }
        made = self._ask("CreateRole", RoleName=self._name, AssumeRolePolicyDocument=json.dumps(trust))
        self._allow("Role", *actions)
        return _between(made, "Arn")

    def _allow(self, kind: str, *actions: str) -> None:
        statement = {"Effect": "Allow", "Action": list(actions) or ["nothing:AtAll"], "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        named = {f"{kind}Name": self._name, "PolicyName": "p", "PolicyDocument": document}
        self._ask(f"Put{kind}Policy", **named)

    def _ask(self, action: str, **parameters: str) -> str:
        self._moto.let_in(1)
        return self._moto.form("iam", action, **parameters)


def _between(text: str, name: str) -> str:
    return text.partition(f"<{name}>")[2].partition("</")[0]


@pytest.fixture
def account(locked: Moto) -> Iterator[Account]:
    yield Account(locked)
    locked.let_in(0)


def store_of(
    locked: Moto, guard: Guard, keys: dict[str, str], kind: str = "awsSecretsManager", **settings: str
) -> Provider[Any]:
    known = {**aws_settings(locked.address), "stsEndpoint": locked.address, **settings}
    return opened(kind, known, guard=guard, referred=access_key(**keys), patience=15.0)


async def test_a_user_without_the_right_is_known_but_denied(account: Account, locked: Moto) -> None:
    async with guarded(LOOPBACK) as guard:
        store = store_of(locked, guard, account.user())
        await store.check()
        assert type(await failing(store.read("a"))) is errors.Denied


async def test_a_role_may_what_its_user_may_not(account: Account, locked: Moto, prefix: str) -> None:
    keys = account.user("sts:AssumeRole")
    arn = account.role("secretsmanager:*")
    async with guarded(LOOPBACK) as guard:
        assert type(await failing(store_of(locked, guard, keys).read(f"{prefix}a"))) is errors.Denied
        store = store_of(locked, guard, keys, roleArn=arn)
        await store.write(f"{prefix}a", Value(b"x"))
        assert (await store.read(f"{prefix}a")).content == Value(b"x")


async def test_a_role_that_a_user_may_not_take_is_a_refused_login(account: Account, locked: Moto) -> None:
    keys, arn = account.user(), account.role("secretsmanager:*")
    async with guarded(LOOPBACK) as guard:
        refused = await failing(store_of(locked, guard, keys, roleArn=arn).read("a"))
    assert (type(refused), refused.code) == (errors.Unauthorized, "AccessDenied")


READS = {
    "awsSecretsManager": ("secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"),
    "awsParameterStore": ("ssm:GetParameter",),
}
PUSHES = {
    "awsSecretsManager": (
        *("secretsmanager:CreateSecret", "secretsmanager:TagResource", "secretsmanager:PutSecretValue"),
        *("secretsmanager:RestoreSecret", "secretsmanager:DeleteSecret"),
    ),
    "awsParameterStore": (
        *("ssm:PutParameter", "ssm:AddTagsToResource", "ssm:DescribeParameters", "ssm:DeleteParameter"),
    ),
}


@pytest.mark.parametrize("kind", BOTH)
async def test_the_rights_that_the_documentation_names_are_enough(
    kind: str, account: Account, locked: Moto, prefix: str
) -> None:
    keys = account.user(*READS[kind], *PUSHES[kind])
    async with guarded(LOOPBACK) as guard:
        store = store_of(locked, guard, keys, kind)
        for text in (b"x", b"y"):
            await store.write(f"{prefix}a", Value(text))
        assert (await store.read(f"{prefix}a")).content == Value(b"y")
        await store.delete(f"{prefix}a")
        await store.write(f"{prefix}a", Value(b"z"))


@pytest.mark.parametrize("kind", BOTH)
async def test_the_rights_to_read_are_not_enough_to_push(
    kind: str, account: Account, locked: Moto, prefix: str
) -> None:
    keys = account.user(*READS[kind])
    async with guarded(LOOPBACK) as guard:
        store = store_of(locked, guard, keys, kind)
        assert isinstance(await failing(store.read(f"{prefix}a")), errors.NotFound)
        assert type(await failing(store.write(f"{prefix}a", Value(b"x")))) is errors.Denied


# Settings


def test_a_service_account_is_named_to_users_who_share_stores() -> None:
    provider = discover()["awsSecretsManager"]
    identity = {"webIdentity": {"serviceAccountRef": {"name": "reader"}}}
    settings = {**aws_settings("https://example.com"), "roleArn": ROLE, "auth": identity}
    config = provider.Config.model_validate(settings)
    assert (provider.logs_in_as(config), provider.needs(config)) == ("reader", ())
    by_key = provider.Config.model_validate(aws_settings("https://example.com"))
    assert provider.logs_in_as(by_key) is None
