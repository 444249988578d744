"""What is special about AWS: stages, types, recovery windows, and whom our keys are shown to."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from keyturn.core.value import Value
from keyturn.stores.providers import Policy, Provider, WriteResult, discover, errors
from keyturn.stores.providers.guard import Guard
from tests.support.api_servers import Scripted, answer, serving
from tests.support.cases import case, cases
from tests.unit.stores.providers.moto_server import Moto
from tests.unit.stores.providers.provider_fixtures import (
    LOOPBACK,
    SECRET_KEY,
    access_key,
    aws,
    aws_settings,
    failing_without,
    guarded,
    opened,
)
from tests.unit.stores.providers.recording_server import Heard, Recording
from tests.unit.stores.providers.resolver import Asked, Names

BOTH = ["awsSecretsManager", "awsParameterStore"]
CANARY = "canary-of-an-answer"


@pytest.fixture
async def manager(moto: Moto) -> AsyncIterator[Provider[Any]]:
    async with guarded(LOOPBACK) as guard:
        yield aws("awsSecretsManager", moto.address, guard)


@pytest.fixture
async def parameters(moto: Moto) -> AsyncIterator[Provider[Any]]:
    async with guarded(LOOPBACK) as guard:
        yield aws("awsParameterStore", moto.address, guard)


failing = failing_without(CANARY)


# Secrets Manager


async def test_bytes_are_written_and_read_as_they_are(manager: Provider[Any], prefix: str) -> None:
    content = Value(b"\xff\x00\xfe")
    await manager.write(f"{prefix}key", content)
    assert (await manager.read(f"{prefix}key")).content == content
    assert (await manager.write(f"{prefix}key", content)).outcome is WriteResult.UNCHANGED


async def test_a_lone_text_is_written_as_text(manager: Provider[Any], moto: Moto, prefix: str) -> None:
    await manager.write(f"{prefix}key", Value(b"text"))
    there = moto.call("secretsmanager", "secretsmanager.GetSecretValue", SecretId=f"{prefix}key")
    assert there["SecretString"] == "text"


async def test_a_stage_and_an_id_name_versions(manager: Provider[Any], prefix: str) -> None:
    first = (await manager.write(f"{prefix}key", Value(b"first"))).version
    await manager.write(f"{prefix}key", Value(b"second"))
    read = [await manager.read(f"{prefix}key", named) for named in ("AWSCURRENT", "AWSPREVIOUS", first)]
    assert [found.content for found in read] == [Value(b"second"), Value(b"first"), Value(b"first")]


@cases(
    "version",
    case("a UUID in upper case", "AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE"),
    case("a name", "terraform-20261129094120000000000001"),
    case("32 characters", "0123456789ABCDEF" * 2),
    case("64 characters", "0123456789ABCDEF" * 4),
)
async def test_an_id_that_its_writer_chose_names_a_version(
    manager: Provider[Any], moto: Moto, prefix: str, version: str
) -> None:
    first: dict[str, Any] = {"SecretString": "first", "ClientRequestToken": version}
    moto.call("secretsmanager", "secretsmanager.CreateSecret", Name=f"{prefix}key", **first)
    moto.call("secretsmanager", "secretsmanager.PutSecretValue", SecretId=f"{prefix}key", SecretString="y")

    found = await manager.read(f"{prefix}key", version)

    assert (found.content, found.version) == (Value(b"first"), version)


async def test_what_we_create_says_who_made_it(manager: Provider[Any], moto: Moto, prefix: str) -> None:
    await manager.write(f"{prefix}key", Value(b"x"))
    facts = moto.call("secretsmanager", "secretsmanager.DescribeSecret", SecretId=f"{prefix}key")
    assert facts["Tags"] == [{"Key": "managed-by", "Value": "keyturn"}]


async def test_each_write_has_a_token_by_which_aws_knows_it_again() -> None:
    there = {"VersionId": "a", "ARN": "b", "Name": "key", "SecretString": "another"}
    heard = Recording(lambda _: answer(200, there))
    async with serving(heard.handle) as server, guarded(LOOPBACK) as guard:
        store = aws("awsSecretsManager", server, guard)
        for _ in range(2):
            await store.write("key", Value(b"x"))
    puts = [one for one in heard.heard if one.headers["X-Amz-Target"].endswith("PutSecretValue")]
    tokens = [one.json["ClientRequestToken"] for one in puts]
    assert len(set(tokens)) == 2
    assert all(32 <= len(token) <= 64 for token in tokens)  # what AWS takes


@pytest.mark.parametrize(("setting", "days"), [(None, 30), (7, 7)])
async def test_what_is_deleted_can_be_restored_for_days(
    moto: Moto, prefix: str, setting: int | None, days: int
) -> None:
    async with guarded(LOOPBACK) as guard:
        manager = aws("awsSecretsManager", moto.address, guard)
        manager.config = manager.config.model_copy(update={"recovery_days": setting})
        await manager.write(f"{prefix}key", Value(b"x"))
        await manager.delete(f"{prefix}key")
    facts = moto.call("secretsmanager", "secretsmanager.DescribeSecret", SecretId=f"{prefix}key")
    assert round((facts["DeletedDate"] - time.time()) / 86400) == days


async def test_a_write_restores_a_deleted_secret(manager: Provider[Any], prefix: str) -> None:
    await manager.write(f"{prefix}key", Value(b"first"))
    await manager.delete(f"{prefix}key")

    await manager.write(f"{prefix}key", Value(b"second"))

    assert (await manager.read(f"{prefix}key")).content == Value(b"second")


@pytest.mark.parametrize("policy", list(Policy))
async def test_a_secret_that_was_created_empty_gets_its_first_version(
    manager: Provider[Any], moto: Moto, prefix: str, policy: Policy
) -> None:
    moto.call("secretsmanager", "secretsmanager.CreateSecret", Name=f"{prefix}key", KmsKeyId="alias/theirs")

    written = await manager.write(f"{prefix}key", Value(b"x"), policy)

    assert written.outcome is WriteResult.CREATED
    assert (await manager.read(f"{prefix}key")).content == Value(b"x")
    facts = moto.call("secretsmanager", "secretsmanager.DescribeSecret", SecretId=f"{prefix}key")
    assert facts["KmsKeyId"] == "alias/theirs"


@cases(
    ("stages", "done"),
    case("a version that is not current", {"a" * 36: ["AWSPENDING"]}, "PutSecretValue"),
    case("another writer was faster", {"a" * 36: ["AWSPENDING", "AWSCURRENT"]}, "Conflict"),
)
async def test_a_secret_without_a_current_version_gets_one(stages: dict[str, Any], done: str) -> None:
    def answering(one: Heard) -> web.Response:
        match one.headers["X-Amz-Target"].partition(".")[2]:
            case "GetSecretValue":
                return answer(400, {"__type": "ResourceNotFoundException"})
            case "DescribeSecret":
                return answer(body={"Name": "key", "VersionIdsToStages": stages})
            case "PutSecretValue":
                return answer(body={"VersionId": "c" * 36})
        return answer(400, {"__type": "ResourceExistsException"})

    heard = Recording(answering)
    async with serving(heard.handle) as server, guarded(LOOPBACK) as guard:
        writing = aws("awsSecretsManager", server, guard).write("key", Value(b"x"))
        if done == "Conflict":
            assert type(await failing(writing)) is errors.Conflict
        else:
            await writing
    targets = [one.headers["X-Amz-Target"].partition(".")[2] for one in heard.heard]
    assert ("PutSecretValue" in targets) is (done == "PutSecretValue")


@pytest.mark.parametrize("setting", [{}, {"kmsKeyId": "alias/shop"}], ids=["the account's key", "a key"])
async def test_a_new_secret_has_the_key_of_the_settings(
    moto: Moto, prefix: str, setting: dict[str, str]
) -> None:
    async with guarded(LOOPBACK) as guard:
        manager = aws("awsSecretsManager", moto.address, guard, setting)
        await manager.write(f"{prefix}key", Value(b"x"))
        await manager.write(f"{prefix}key", Value(b"y"))
    facts = moto.call("secretsmanager", "secretsmanager.DescribeSecret", SecretId=f"{prefix}key")
    assert facts.get("KmsKeyId") == setting.get("kmsKeyId")


# Parameter Store


def key_of(moto: Moto, name: str) -> str:
    named = [{"Key": "Name", "Option": "Equals", "Values": [name]}]
    (facts,) = moto.call("ssm", "AmazonSSM.DescribeParameters", ParameterFilters=named)["Parameters"]
    found: str = facts["KeyId"]
    return found


@pytest.mark.parametrize("name", ["key", "/deep/key"])
async def test_a_parameter_that_is_written_over_keeps_its_key(moto: Moto, prefix: str, name: str) -> None:
    there = f"/{prefix}{name}" if "/" in name else f"{prefix}{name}"
    moto.call(
        "ssm", "AmazonSSM.PutParameter", Name=there, Value="x", Type="SecureString", KeyId="alias/theirs"
    )
    async with guarded(LOOPBACK) as guard:
        parameters = aws("awsParameterStore", moto.address, guard, {"kmsKeyId": "alias/shop"})
        await parameters.write(there.removeprefix("/"), Value(b"y"))
        assert (await parameters.read(there.removeprefix("/"))).content == Value(b"y")
    assert key_of(moto, there) == "alias/theirs"


@cases(
    ("setting", "key"),
    case("the account's key", {}, "alias/aws/ssm"),
    case("a key", {"kmsKeyId": "alias/shop"}, "alias/shop"),
)
async def test_a_new_parameter_has_the_key_of_the_settings(
    moto: Moto, prefix: str, setting: dict[str, str], key: str
) -> None:
    async with guarded(LOOPBACK) as guard:
        parameters = aws("awsParameterStore", moto.address, guard, setting)
        await parameters.write(f"{prefix}key", Value(b"x"))
        await parameters.write(f"{prefix}key", Value(b"y"))
    assert key_of(moto, f"{prefix}key") == key


def parameter_answering(*described: web.Response) -> Recording:
    """Answer as Parameter Store with one parameter, and with these pages of its description, the last one always."""
    pages = list(described)

    def answering(one: Heard) -> web.Response:
        match one.headers["X-Amz-Target"].partition(".")[2]:
            case "GetParameter":
                return answer(body={"Parameter": {"Name": "key", "Value": "x", "Version": 1}})
            case "DescribeParameters":
                return pages.pop(0) if len(pages) > 1 else pages[0]
        return answer(body={"Version": 2})

    return Recording(answering)


async def test_the_key_of_a_parameter_is_looked_for_on_every_page() -> None:
    facts = {"Name": "key", "Type": "SecureString", "KeyId": "alias/theirs"}
    heard = parameter_answering(
        answer(body={"Parameters": [], "NextToken": "next"}),
        answer(body={"Parameters": [{**facts, "Name": "other"}, facts]}),
    )
    async with serving(heard.handle) as server, guarded(LOOPBACK) as guard:
        await aws("awsParameterStore", server, guard).write("key", Value(b"y"))
    assert [one.json.get("NextToken") for one in heard.heard] == [None, None, "next", None]
    assert heard.heard[-1].json["KeyId"] == "alias/theirs"


async def test_a_plain_parameter_that_is_written_over_gets_the_key_of_the_settings() -> None:
    heard = parameter_answering(answer(body={"Parameters": [{"Name": "key", "Type": "String"}]}))
    async with serving(heard.handle) as server, guarded(LOOPBACK) as guard:
        await aws("awsParameterStore", server, guard, {"kmsKeyId": "alias/shop"}).write("key", Value(b"y"))
    assert heard.heard[-1].json["KeyId"] == "alias/shop"


@cases(
    ("described", "meaning", "hint"),
    case("denied", answer(400, {"__type": "AccessDeniedException"}), errors.Denied, "ssm:DescribeParameters"),
    case("gone", answer(body={"Parameters": []}), errors.Conflict, ""),
    case("malformed", answer(body={"Parameters": [{"Name": "key", "KeyId": 7}]}), errors.Unreachable, ""),
)
async def test_a_parameter_whose_key_is_unknown_is_not_written_over(
    described: web.Response, meaning: type[errors.StoreError], hint: str
) -> None:
    heard = parameter_answering(described)
    async with serving(heard.handle) as server, guarded(LOOPBACK) as guard:
        refused = await failing(aws("awsParameterStore", server, guard).write("key", Value(b"y")))
    assert (type(refused), hint in refused.hint) == (meaning, True)
    assert not [one for one in heard.heard if one.headers["X-Amz-Target"].endswith("PutParameter")]


@pytest.mark.parametrize(
    ("kind", "text"), [("String", "plain"), ("StringList", "a,b"), ("SecureString", "s")]
)
async def test_parameters_of_every_type_are_read(
    parameters: Provider[Any], moto: Moto, prefix: str, kind: str, text: str
) -> None:
    moto.call("ssm", "AmazonSSM.PutParameter", Name=f"{prefix}key", Value=text, Type=kind)
    assert (await parameters.read(f"{prefix}key")).content == Value.of_text(text)


async def test_what_we_write_is_a_secure_string_with_our_tag(
    parameters: Provider[Any], moto: Moto, prefix: str
) -> None:
    await parameters.write(f"{prefix}key", Value(b"x"))
    await parameters.write(f"{prefix}key", Value(b"y"))
    there = moto.call("ssm", "AmazonSSM.GetParameter", Name=f"{prefix}key", WithDecryption=False)
    tags = moto.call(
        "ssm", "AmazonSSM.ListTagsForResource", ResourceType="Parameter", ResourceId=f"{prefix}key"
    )
    assert (there["Parameter"]["Type"], there["Parameter"]["Version"]) == ("SecureString", 2)
    assert "y" not in there["Parameter"]["Value"].split(":")[0]
    assert tags["TagList"] == [{"Key": "managed-by", "Value": "keyturn"}]


async def test_numbers_and_labels_name_versions(parameters: Provider[Any], moto: Moto, prefix: str) -> None:
    for text in (b"first", b"second"):
        await parameters.write(f"{prefix}key", Value(text))
    moto.call(
        "ssm", "AmazonSSM.LabelParameterVersion", Name=f"{prefix}key", ParameterVersion=1, Labels=["stable"]
    )
    read = [await parameters.read(f"{prefix}key", named) for named in ("1", "stable", "2")]
    assert [found.content for found in read] == [Value(b"first"), Value(b"first"), Value(b"second")]


async def test_a_name_with_a_slash_before_it_is_another_secret(
    manager: Provider[Any], moto: Moto, prefix: str
) -> None:
    await manager.write(f"/{prefix}/db", Value(b"with"))
    await manager.write(f"{prefix}/db", Value(b"without"))

    there = moto.call("secretsmanager", "secretsmanager.GetSecretValue", SecretId=f"/{prefix}/db")
    assert there["Name"] == f"/{prefix}/db"
    assert (await manager.read(f"/{prefix}/db")).content == Value(b"with")
    assert (await manager.read(f"{prefix}/db")).content == Value(b"without")


async def test_a_path_is_found_without_the_slash_at_its_start(
    parameters: Provider[Any], moto: Moto, prefix: str
) -> None:
    moto.call("ssm", "AmazonSSM.PutParameter", Name=f"/{prefix}/deep/key", Value="x", Type="String")
    await parameters.write(f"{prefix}/deep/other", Value(b"y"))

    assert (await parameters.read(f"{prefix}/deep/key")).content == Value(b"x")
    assert (
        moto.call("ssm", "AmazonSSM.GetParameter", Name=f"/{prefix}/deep/other")["Parameter"]["Version"] == 1
    )
    await parameters.delete(f"{prefix}/deep/other")
    assert type(await failing(parameters.read(f"{prefix}/deep/other"))) is errors.NotFound


async def test_a_lone_value_that_is_no_text_is_refused(parameters: Provider[Any], prefix: str) -> None:
    refused = await failing(parameters.write(f"{prefix}key", Value(b"\xff")))
    assert (type(refused), refused.code) == (errors.Refused, "NotText")


# Whom our keys are shown to


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("endpoint", "code"),
    [
        ("https://169.254.169.254", "InsideAddress"),
        ("https://10.0.0.1", "InsideAddress"),
        ("http://example.com", "PlainHttp"),
        ("https://localhost:8443", "InsideAddress"),
    ],
)
async def test_an_endpoint_inside_is_never_asked(kind: str, endpoint: str, code: str) -> None:
    async with guarded() as guard:
        assert (await failing(aws(kind, endpoint, guard).read("a"))).code == code


@pytest.mark.parametrize("kind", BOTH)
async def test_the_login_of_the_operator_is_never_used(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, "http://operators-own")
    script = Scripted(answer(400, {"__type": "ResourceNotFoundException"}))
    async with serving(script.handle) as server, guarded(LOOPBACK) as guard:
        await failing(aws(kind, server, guard).read("a"))
        without = opened(kind, aws_settings(server), guard=guard)
        assert isinstance(await failing(without.read("a")), errors.Unauthorized)
    sent = [str(sorted(request.headers.items())) for request in script.asked]
    assert len(sent) == 1
    assert "Credential=AKIA0123456789ABCDEF/" in sent[0]
    assert "operators-own" not in sent[0]
    assert SECRET_KEY not in sent[0]


async def test_a_region_with_fips_signs_for_the_region() -> None:
    script = Scripted(answer(400, {"__type": "ResourceNotFoundException"}))
    async with serving(script.handle) as server, guarded(LOOPBACK) as guard:
        settings = {**aws_settings(server), "region": "fips-us-east-1"}
        await failing(opened("awsSecretsManager", settings, guard=guard, referred=access_key()).read("a"))
    assert "/us-east-1/secretsmanager/aws4_request" in script.asked[0].headers["Authorization"]


@pytest.mark.parametrize("kind", BOTH)
async def test_an_endpoint_of_the_operators_environment_is_never_asked(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Scripted(answer())
    guard = Guard([LOOPBACK], resolver=Names("127.0.0.1"))  # so that Amazon's is not asked either
    async with serving(script.handle) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server)
        settings = {name: text for name, text in aws_settings(server).items() if name != "endpoint"}
        store = opened(kind, settings, guard=guard, referred=access_key())
        assert (await failing(store.read("a"))).code == "InsideAddress"
    await guard.close()
    assert script.asked == []


@pytest.mark.parametrize(
    ("kind", "region", "host"),
    [
        ("awsSecretsManager", "eu-central-1", "secretsmanager.eu-central-1.amazonaws.com"),
        ("awsSecretsManager", "us-gov-west-1", "secretsmanager.us-gov-west-1.amazonaws.com"),
        ("awsParameterStore", "us-east-1", "ssm.us-east-1.amazonaws.com"),
        ("awsParameterStore", "cn-north-1", "ssm.cn-north-1.amazonaws.com.cn"),
        ("awsSecretsManager", "fips-us-east-1", "secretsmanager-fips.us-east-1.amazonaws.com"),
        ("awsParameterStore", "zz-new-1", "ssm.zz-new-1.amazonaws.com"),
        ("awsParameterStore", "fips-zz-new-1", "ssm-fips.zz-new-1.amazonaws.com"),
    ],
)
async def test_a_store_without_endpoint_is_asked_at_the_public_one_of_its_region(
    kind: str, region: str, host: str
) -> None:
    names = Asked()
    guard = Guard(resolver=names)
    settings = {**aws_settings(""), "region": region, "endpoint": None}
    store = opened(kind, settings, guard=guard, referred=access_key())
    assert (await failing(store.read("a"))).code == "InsideAddress"
    await guard.close()
    assert names.hosts == [host]


@pytest.mark.parametrize("written", ["", " ", "a\nb", "ü", "a\0"])
async def test_what_is_no_access_key_is_not_sent(written: str) -> None:
    script = Scripted(answer())
    async with serving(script.handle) as server, guarded(LOOPBACK) as guard:
        store = aws("awsSecretsManager", server, guard, secret=written)
        assert isinstance(await failing(store.read("a")), errors.Unauthorized)
    assert script.asked == []


# Trouble


def refusing(status: int, code: object, **headers: str) -> web.Response:
    return answer(status, {"__type": code, "message": CANARY, "Message": CANARY}, **headers)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize(
    ("response", "meaning", "code"),
    [
        (refusing(400, "ThrottlingException"), errors.Throttled, "ThrottlingException"),
        (refusing(400, "com.amazonaws#TooManyUpdates"), errors.Throttled, "TooManyUpdates"),
        (refusing(429, "Whatever"), errors.Throttled, "Whatever"),
        (refusing(400, "AccessDeniedException"), errors.Denied, "AccessDeniedException"),
        (refusing(400, "ExpiredTokenException"), errors.Unauthorized, "ExpiredTokenException"),
        (refusing(403, "Whatever"), errors.Denied, "Whatever"),
        (refusing(400, "ResourceNotFoundException"), errors.NotFound, "ResourceNotFoundException"),
        (refusing(400, "ParameterNotFound"), errors.NotFound, "ParameterNotFound"),
        (refusing(400, "DecryptionFailure"), errors.Refused, "DecryptionFailure"),
        (refusing(500, "InternalServiceError"), errors.Unreachable, "InternalServiceError"),
        (refusing(503, CANARY + " in words"), errors.Unreachable, "Unknown"),
        (refusing(400, {"nested": CANARY}), errors.Unreachable, "MalformedAnswer"),
        (answer(502, f"<html>{CANARY}</html>"), errors.Unreachable, None),
        (answer(200, f"no JSON {CANARY}"), errors.Unreachable, "MalformedAnswer"),
    ],
    ids=range(14),
)
async def test_a_refusal_means_what_its_code_says(
    kind: str, response: web.Response, meaning: type[errors.StoreError], code: str | None
) -> None:
    script = Scripted(response)
    async with serving(script.handle) as server, guarded(LOOPBACK) as guard:
        refused = await failing(aws(kind, server, guard).read("a"))
    assert (type(refused), refused.code) == (meaning, code or refused.code)
    assert len(script.asked) == 1  # when to try again is for the caller to say


async def test_a_throttling_store_says_when_to_come_again() -> None:
    script = Scripted(refusing(400, "ThrottlingException", Retry_After="17"))
    async with serving(script.handle) as server, guarded(LOOPBACK) as guard:
        refused = await failing(aws("awsSecretsManager", server, guard).read("a"))
    assert refused.retry_after == 17.0


@pytest.mark.parametrize("kind", BOTH)
async def test_as_many_are_asked_for_at_once_as_a_store_may_be(kind: str) -> None:
    everybody = asyncio.Barrier(20)  # who comes before the others is answered with them, or not at all

    async def handle(_: web.Request) -> web.Response:
        await everybody.wait()
        return refusing(400, "AccessDeniedException")

    async with serving(handle) as server, guarded(LOOPBACK) as guard, asyncio.timeout(10):
        store = aws(kind, server, guard)
        refused = await asyncio.gather(*(failing(store.read("a")) for _ in range(20)))
    assert {type(one) for one in refused} == {errors.Denied}


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("size", [100, 100_000])
async def test_a_malformed_answer_is_reported_in_our_words_however_long_it_is(kind: str, size: int) -> None:
    script = Scripted(answer(200, CANARY * size))
    async with serving(script.handle) as server, guarded(LOOPBACK) as guard:
        refused = await failing(aws(kind, server, guard).read("a"))
    assert isinstance(refused, errors.Unreachable)


def test_settings_ask_for_both_halves_of_the_key() -> None:
    provider = discover()["awsSecretsManager"]
    config = provider.Config.model_validate(aws_settings("https://example.com"))
    assert [tuple(reference) for reference in provider.needs(config)] == [
        ("Secret", "aws", "id"),
        ("Secret", "aws", "secret"),
    ]


@pytest.mark.parametrize("region", ["", "eu", "EU-CENTRAL-1", "eu-central-1.evil.example/", "a" * 40])
def test_what_is_no_region_is_refused(region: str) -> None:
    with pytest.raises(ValueError, match=r"(?s)region"):
        discover()["awsSecretsManager"].Config.model_validate(
            {**aws_settings("https://example.com"), "region": region}
        )


@pytest.mark.parametrize("key", ["", "alias/my key", "alias/ü", "k" * 257])
def test_what_is_no_kms_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"(?s)kmsKeyId"):
        discover()["awsParameterStore"].Config.model_validate(
            {**aws_settings("https://example.com"), "kmsKeyId": key}
        )


@pytest.mark.parametrize(
    "key",
    [
        *("alias/shop", "1234abcd-12ab-34cd-56ef-1234567890ab", "mrk-1234abcd12ab34cd56ef1234567890ab"),
        "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    ],
)
def test_a_kms_key_is_named_as_aws_names_it(key: str) -> None:
    config = discover()["awsSecretsManager"].Config.model_validate(
        {**aws_settings("https://example.com"), "kmsKeyId": key}
    )
    assert config.model_dump()["kms_key_id"] == key
