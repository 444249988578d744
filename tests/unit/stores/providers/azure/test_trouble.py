"""What the refusals of a vault mean, and answers that make no sense."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from keyturn.stores.providers import errors
from tests.unit.stores.providers.azure.exchanges import again, answering, failing, refusal
from tests.unit.stores.providers.azure.fake_azure import CLIENT, VAULT
from tests.unit.stores.providers.azure.fake_entra_id import CANARY

if TYPE_CHECKING:
    from keyturn.stores.providers import Provider
    from keyturn.stores.providers.guard import Guard
    from tests.unit.stores.providers.azure.fake_azure import Azure, Sent


@pytest.mark.parametrize(
    ("answer", "meaning", "code"),
    [
        (refusal(403, "Forbidden", "ForbiddenByRbac"), errors.Denied, "ForbiddenByRbac"),
        (refusal(403, "Forbidden", "ForbiddenByPolicy"), errors.Denied, "ForbiddenByPolicy"),
        (refusal(403, "Forbidden", "AccessDenied"), errors.Denied, "AccessDenied"),
        (refusal(403, "Forbidden"), errors.Denied, "Forbidden"),
        (refusal(403, "Forbidden", "ForbiddenByFirewall"), errors.Refused, "ForbiddenByFirewall"),
        (refusal(403, "Forbidden", "SecretDisabled"), errors.Refused, "SecretDisabled"),
        (refusal(404, "SecretNotFound"), errors.NotFound, "SecretNotFound"),
        (refusal(400, "BadParameter"), errors.Refused, "BadParameter"),
        (refusal(429, "Throttled", Retry_After="5"), errors.Throttled, "Throttled"),
        (refusal(500, "InternalServerError"), errors.Unreachable, "InternalServerError"),
        (refusal(503, "Forbidden", "ForbiddenByRbac"), errors.Unreachable, "ForbiddenByRbac"),
        (refusal(503, f"{CANARY} in words"), errors.Unreachable, "Unknown"),
        (refusal(403, [CANARY], {"x": CANARY}), errors.Denied, "Unknown"),
        (answering(502, f"<html>{CANARY}</html>"), errors.Unreachable, "Status502"),
        (answering(404, [CANARY]), errors.NotFound, "Status404"),
        (answering(302, CANARY, Location=f"https://{CANARY}"), errors.Refused, "Redirected"),
    ],
    ids=range(16),
)
async def test_a_refusal_means_what_its_codes_say(
    store: Provider[Any], azure: Azure, answer: web.Response, meaning: type[errors.StoreError], code: str
) -> None:
    azure.instead = lambda sent: again(answer) if "Authorization" in sent.headers else None
    refused = await failing(store.read("key"))
    assert (type(refused), refused.code) == (meaning, code)
    assert refused.retry_after == (5.0 if meaning is errors.Throttled else None)
    assert len(azure.sent_to(VAULT)) == 2  # a challenge and a refusal: the caller says when to try again


ID = f"https://{VAULT}/secrets/key/{'0' * 32}"
BOMB = "<!DOCTYPE b [<!ENTITY a '" + CANARY * 9 + "'>]><b>&a;</b>"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "application/json"),
        (f"no JSON {CANARY}", "application/json"),
        (BOMB, "text/xml"),
        (f"[{CANARY!r}]", "text/plain"),
        ("[]", "application/json"),
        ("{}", "application/json"),
        ('{"value":' + "[" * 100_000 + "]" * 100_000 + "}", "application/json"),
        ('{"value":' + "9" * 5000 + "}", "application/json"),
        (json.dumps({"value": None, "id": ID}), "application/json"),
        (json.dumps({"value": CANARY}), "application/json"),
        (json.dumps({"value": CANARY, "id": CANARY}), "application/json"),
        (json.dumps({"value": CANARY, "id": f"https://{VAULT}/secrets/key"}), "application/json"),
        ('{"value": "' + CANARY + '\\ud800", "id": "' + ID + '"}', "application/json"),
        (json.dumps({"value": CANARY, "id": ID, "attributes": {"exp": 10**18}}), "application/json"),
        (json.dumps({"value": CANARY, "id": ID, "attributes": {"exp": CANARY}}), "application/json"),
        (json.dumps({"value": CANARY, "id": ID, "attributes": [CANARY]}), "application/json"),
        (json.dumps({"value": CANARY, "id": ID, "tags": [CANARY]}), "application/json"),
    ],
    ids=range(17),
)
async def test_what_makes_no_sense_is_no_answer(
    store: Provider[Any], azure: Azure, text: str, kind: str
) -> None:
    def senseless(sent: Sent) -> web.Response | None:
        return web.Response(text=text, content_type=kind) if "Authorization" in sent.headers else None

    azure.instead = senseless
    refused = await failing(store.read("key"))
    assert (type(refused), refused.code) == (errors.Unreachable, "MalformedAnswer")


async def test_no_xml_of_a_vault_is_parsed(
    store: Provider[Any], azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parse(*_: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr("xml.etree.ElementTree.fromstring", parse)
    azure.instead = lambda sent: (
        web.Response(text=BOMB, content_type="text/xml") if "Authorization" in sent.headers else None
    )
    assert isinstance(await failing(store.read("key")), errors.Unreachable)


async def test_the_client_logs_nothing_at_all(
    store: Provider[Any], azure: Azure, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    azure.vault.seed("key", "x")
    await store.read("key")
    await failing(store.read("absent"))
    assert not [record for record in caplog.records if record.name.startswith("azure")]


async def test_a_vault_that_lets_us_in_is_checked_without_reading_a_value(
    store: Provider[Any], azure: Azure
) -> None:
    azure.vault.seed("key", "x")
    azure.entra.applications[CLIENT].may = frozenset()
    await store.check()
    assert not [one for one in azure.sent if one.path.endswith("/key")]


async def test_a_login_that_is_refused_is_found_by_the_check(azure: Azure, guard: Guard) -> None:
    refused = await failing(azure.store(guard, "wrong-secret").check())
    assert (type(refused), refused.code) == (errors.Unauthorized, "AADSTS7000215")


async def test_a_vault_behind_its_network_rules_is_found_by_the_check(
    store: Provider[Any], azure: Azure
) -> None:
    azure.instead = lambda sent: (
        refusal(403, "Forbidden", "ForbiddenByFirewall") if sent.host == VAULT else None
    )
    assert isinstance(await failing(store.check()), errors.Refused)
