"""Requests to AWS are those of botocore's own client, whose private parts build ours."""

import functools
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, get_args

import botocore.auth
import botocore.session
import pytest
from botocore.config import Config
from botocore.endpoint_provider import EndpointProvider
from botocore.loaders import Loader

from keyturn.stores.providers import ProviderContext
from keyturn.stores.providers.aws import client
from keyturn.stores.providers.aws.client import AwsClient, Keys
from keyturn.stores.providers.aws.login import Region
from tests.unit.stores.providers.provider_fixtures import SECRET_KEY

KEY_ID, TOKEN = "AKIDEXAMPLE", "token-of-a-session/+="
ROLE = {"RoleArn": "arn:aws:iam::123456789012:role/shop", "RoleSessionName": "keyturn-shop"}
TAGS = [{"Key": "managed-by", "Value": "keyturn"}]
TEXT = 'ä "text" with + & = / and\nlines'
CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("secretsmanager", "GetSecretValue", {"SecretId": "shop/db", "VersionStage": "AWSPREVIOUS"}),
    ("secretsmanager", "ListSecrets", {"Filters": [{"Key": "name", "Values": ["shop/"]}], "MaxResults": 100}),
    ("secretsmanager", "CreateSecret", {"Name": "shop/db", "Tags": TAGS, "SecretString": TEXT}),
    ("secretsmanager", "RestoreSecret", {"SecretId": "shop/db"}),
    ("secretsmanager", "PutSecretValue", {"SecretId": "shop/db", "SecretBinary": b"\xff\x00"}),
    ("secretsmanager", "DeleteSecret", {"SecretId": "shop/db", "RecoveryWindowInDays": 30}),
    ("secretsmanager", "DescribeSecret", {"SecretId": "shop/db"}),
    ("ssm", "GetParameter", {"Name": "/shop/db:2", "WithDecryption": True}),
    ("ssm", "GetParametersByPath", {"Path": "/shop/", "Recursive": True, "MaxResults": 10}),
    ("ssm", "DescribeParameters", {"ParameterFilters": [], "MaxResults": 50, "NextToken": "more"}),
    ("ssm", "PutParameter", {"Name": "/shop/db", "Value": TEXT, "Type": "SecureString", "Overwrite": True}),
    ("ssm", "DeleteParameter", {"Name": "/shop/db"}),
    ("sts", "GetCallerIdentity", {}),
    ("sts", "AssumeRole", {**ROLE, "DurationSeconds": 3600, "ExternalId": "a b+c"}),
    ("sts", "AssumeRoleWithWebIdentity", {**ROLE, "DurationSeconds": 3600, "WebIdentityToken": "a.b+c.d"}),
]
UNSIGNED = {"AssumeRoleWithWebIdentity"}
REGIONS = ["eu-central-1", "cn-north-1", "us-gov-west-1", "fips-us-east-1"]
OWN_HEADERS = {"user-agent", "amz-sdk-invocation-id", "amz-sdk-request", "content-length"}
"""Headers that the session of a client adds."""


class Sent(NamedTuple):
    method: str
    url: str
    headers: dict[str, str]
    body: Any


def sent(method: str, url: str, headers: Mapping[str, str | bytes], body: str | bytes | None) -> Sent:
    named = {name.lower(): text if isinstance(text, str) else text.decode() for name, text in headers.items()}
    plain = {name: text for name, text in named.items() if name not in OWN_HEADERS}
    return Sent(method, url, plain, body.encode() if isinstance(body, str) else body)


@pytest.fixture(autouse=True)
def _same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_, **__: moment)
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=7))


class _StopError(Exception):
    """Ends a call with the request that it would send."""


class _Recorder:
    """A guard, or a hook of botocore, that sends nothing."""

    request: Sent

    async def ask(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None) -> None:
        self.request = sent(method, url, headers, body)
        raise _StopError

    def before_send(self, request: Any, **_: object) -> None:
        self.request = sent(request.method, request.url, request.headers, request.body)
        raise _StopError


@functools.cache
def client_of_botocore(service: str, region: str, token: str | None) -> tuple[Any, _Recorder]:
    session = botocore.session.Session()
    for setting in ("config_file", "credentials_file"):
        session.set_config_variable(setting, os.devnull)
    client = session.create_client(
        service,
        region.removeprefix("fips-"),
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET_KEY,
        aws_session_token=token,
        config=Config(use_fips_endpoint=region.startswith("fips-")),
    )
    recorder = _Recorder()
    client.meta.events.register("before-send", recorder.before_send)
    return client, recorder


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("token", [None, TOKEN], ids=["an access key", "temporary keys"])
@pytest.mark.parametrize(("service", "operation", "parameters"), CALLS, ids=[call[1] for call in CALLS])
async def test_a_request_is_the_one_of_botocore(
    service: str, operation: str, parameters: dict[str, Any], token: str | None, region: str
) -> None:
    ours: Any = _Recorder()
    client = AwsClient(service, region, None, ProviderContext(guard=ours, owner="shop"))
    keys = None if operation in UNSIGNED else Keys(KEY_ID, SECRET_KEY, token)
    with pytest.raises(_StopError):
        await client.call(keys, operation, parameters)
    botocores, theirs = client_of_botocore(service, region, token)
    with pytest.raises(_StopError):
        getattr(botocores, botocore.xform_name(operation))(**parameters)
    assert ours.request == theirs.request


def regions() -> Iterator[str]:
    pattern = get_args(Region)[1].pattern
    for partition in Loader().load_data("partitions")["partitions"]:
        yield from (region for region in partition["regions"] if re.fullmatch(pattern, region))


@pytest.mark.parametrize("service", ["secretsmanager", "ssm", "sts"])
def test_an_endpoint_is_the_one_of_botocore(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = client._loader()
    monkeypatch.setattr(client, "_loader", lambda: loader)  # else each region reads all descriptions
    rules = EndpointProvider(
        loader.load_service_model(service, "endpoint-rule-set-1"), loader.load_data("partitions")
    )
    found, expected = {}, {}
    for region in regions():
        for fips in (False, True):
            asked = {"Region": region, "UseFIPS": fips, "UseDualStack": False}
            expected[region, fips] = rules.resolve_endpoint(**asked).url
            found[region, fips] = client._public(service, region, fips=fips)
    assert len(found) > 60
    assert found == expected
