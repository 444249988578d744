"""How often a server is asked with the credential of an administrator that it refused."""

import asyncio
import gc
from contextlib import suppress
from dataclasses import replace

import pytest

from keyturn.core.value import Value
from keyturn.databases.base import Endpoint, EngineSettings, Login
from keyturn.databases.errors import RefusedAdmins, Unauthorized
from tests.support.cases import case, cases
from tests.unit.stores.fast_clock import in_no_time

ADMIN = Login("keyturn", Value.of_text("canary"))
SETTINGS = EngineSettings(Endpoint("db.shop.svc", 5432), "orders", ADMIN)
REFUSED = Unauthorized("AdminRefused", "the server refuses the admin's password")


def is_tried(refused: RefusedAdmins, settings: EngineSettings = SETTINGS) -> bool:
    with suppress(Unauthorized):
        refused.check(settings.admin_digest)
        return True
    return False


@in_no_time
async def test_a_refused_credential_is_tried_once_a_minute_by_all() -> None:
    refused = RefusedAdmins()
    refused.note(SETTINGS.admin_digest, REFUSED)

    tried = 0
    for _ in range(600):
        if is_tried(refused):
            tried += 1
            refused.note(SETTINGS.admin_digest, REFUSED)
        await asyncio.sleep(1)

    assert tried in {9, 10}


@in_no_time
async def test_one_operation_tries_it_while_the_others_wait_for_its_result() -> None:
    refused = RefusedAdmins()
    refused.note(SETTINGS.admin_digest, REFUSED)
    await asyncio.sleep(61)

    assert [is_tried(refused) for _ in range(3)] == [True, False, False]
    refused.forget(SETTINGS.admin_digest)
    assert [is_tried(refused) for _ in range(3)] == [True, True, True]


@cases(
    "other",
    case("password", {"admin": replace(ADMIN, password=Value.of_text("second"))}),
    case("name", {"admin": replace(ADMIN, name="boss")}),
    case("database", {"database": "other"}),
    case("TLS", {"tls": None}),
)
async def test_another_credential_is_tried_at_once(other: dict[str, object]) -> None:
    refused = RefusedAdmins()
    refused.note(SETTINGS.admin_digest, REFUSED)

    assert is_tried(refused, replace(SETTINGS, **other))  # type: ignore[arg-type]  # names of fields
    with pytest.raises(Unauthorized) as failure:
        refused.check(SETTINGS.admin_digest)
    assert (failure.value.code, failure.value.message) == (REFUSED.code, REFUSED.message)


@in_no_time
async def test_what_is_not_tried_any_more_is_dropped_and_no_password_is_kept() -> None:
    refused = RefusedAdmins()
    for number in range(100):
        admin = replace(ADMIN, password=Value.of_text(f"canary-{number}"))
        refused.note(replace(SETTINGS, admin=admin).admin_digest, REFUSED)
        await asyncio.sleep(10)

    kept = refused._refused
    assert len(kept) <= 7
    assert "canary" not in repr(kept)
    assert not [one for one in gc.get_referents(*kept.values()) if isinstance(one, BaseException)]
