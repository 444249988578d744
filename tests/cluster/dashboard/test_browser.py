"""The page in a real browser: Chromium, against a real operator, with real tokens of ServiceAccounts."""

from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from keyturn.core.times import clock
from sandbox.harness import eventually
from tests.cluster.dashboard.dashboard_cluster import CANARY, HOSTILE, log_in, url_of
from tests.cluster.dashboard.dashboard_objects import CONTACTS, STATES
from tests.support.chromium import SECONDS

if TYPE_CHECKING:
    from tests.cluster.dashboard.dashboard_cluster import Dashboard
    from tests.support.browser import Page
    from tests.support.operator import Operator

pytestmark = pytest.mark.timeout(SECONDS)

_LATE = "Failed to load resource"
"""What the console says of any answer that is no 200, such as a refused login."""


def complaints(page: Page) -> list[str]:
    return [one for one in page.complaints if not one.startswith(_LATE)]


# Who gets in


def test_who_is_not_logged_in_sees_a_login_and_nothing_else(page: Page, operator: Operator) -> None:
    page.open(url_of(operator))

    assert page.path == "/ui/login"
    assert "kubectl create token NAME -n NAMESPACE --audience=keyturn-ui" in page.text
    assert not re.search("shop|bank|checkout|ledger", page.source)


def test_a_service_account_sees_its_own_namespaces_only(
    page: Page, operator: Operator, dashboard: Dashboard
) -> None:
    log_in(page, operator, dashboard.token("developer"))

    assert page.path == "/ui"
    assert "shop/checkout" in page.text
    assert "system:serviceaccount:shop:developer" in page.text
    assert not re.search("bank|ledger", page.source)


def test_who_may_list_everywhere_sees_every_namespace(
    page: Page, operator: Operator, dashboard: Dashboard
) -> None:
    log_in(page, operator, dashboard.token("auditor"))

    assert {"shop/checkout", "bank/ledger"} <= set(page.text.split())


def test_a_page_of_another_namespace_is_not_found(
    page: Page, operator: Operator, dashboard: Dashboard
) -> None:
    log_in(page, operator, dashboard.token("developer"))
    page.open(url_of(operator, "/ui/secrets/bank/ledger"))
    theirs = page.text
    page.open(url_of(operator, "/ui/secrets/shop/no-such"))

    assert theirs == page.text
    assert "There is no such object, or you may not read it." in theirs


@pytest.mark.parametrize(
    ("person", "audience", "said"),
    [
        pytest.param("developer", "https://kubernetes.default.svc", "rejects this token", id="audience"),
        pytest.param("stranger", "keyturn-ui", "may list neither ManagedSecrets nor Emergency", id="rights"),
    ],
)
def test_a_login_is_refused_and_said_why(
    person: str, audience: str, said: str, page: Page, operator: Operator, dashboard: Dashboard
) -> None:
    log_in(page, operator, dashboard.token(person, audience))

    assert said in page.text
    assert page.path == "/ui/login"
    assert page.cookies() == []


def test_a_token_that_was_not_issued_is_refused_and_not_repeated(page: Page, operator: Operator) -> None:
    log_in(page, operator, f"eyJhbGciOiJSUzI1NiJ9.{CANARY}.c2lnbmF0dXJl")

    assert "rejects this token" in page.text
    assert CANARY not in page.source
    assert CANARY not in operator.log.read_text()


# What a session is


def test_the_cookie_is_for_the_page_alone_and_not_for_scripts(
    page: Page, operator: Operator, dashboard: Dashboard
) -> None:
    token = dashboard.token("developer")
    log_in(page, operator, token)

    (cookie,) = page.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["session"]) == (True, "Strict", True)
    assert page.evaluate("document.cookie") == ""
    assert not any(part in cookie["value"] for part in token.split("."))
    assert not any(part in url for url in page.asked for part in token.split("."))


def test_a_logout_ends_the_session_for_good(page: Page, operator: Operator, dashboard: Dashboard) -> None:
    log_in(page, operator, dashboard.token("developer"))
    (cookie,) = page.cookies()

    page.follow(".bar button")
    assert (page.path, page.cookies()) == ("/ui/login", [])

    page.call("Network.setCookie", url=url_of(operator), **{key: cookie[key] for key in ("name", "value")})
    page.open(url_of(operator))
    assert page.path == "/ui/login"


def test_a_restart_ends_every_session(page: Page, operator: Operator, dashboard: Dashboard) -> None:
    log_in(page, operator, dashboard.token("developer"))
    assert page.path == "/ui"

    operator.kill()
    operator.start()
    operator.wait_for_log("leading", timeout=30)
    page.open(url_of(operator))

    assert page.path == "/ui/login"


# What is shown


def test_every_state_stands_in_its_group(page: Page, bystander: Operator, dashboard: Dashboard) -> None:
    log_in(page, bystander, dashboard.token("auditor"))

    shown = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('tbody tr')].map(row =>"
        " [row.querySelector('a').innerText, row.querySelector('.badge').innerText]))"
    )
    counts = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.tile')].map(tile =>"
        " [tile.querySelector('span').innerText, tile.querySelector('strong').innerText]))"
    )
    assert shown == {f"stage/{name}": state for name, (state, _) in STATES.items()}
    assert counts == {
        "Open emergencies": "2",
        "Action required": "4",
        "Degraded": "2",
        "Rotating": "2",
        "Due within a day": "1",
        "At rest": "3",
    }


def test_an_emergency_shows_its_clock(page: Page, bystander: Operator, dashboard: Dashboard) -> None:
    log_in(page, bystander, dashboard.token("steward"))

    text = page.evaluate("document.querySelector('.emergency:has(.done)').innerText")
    lines = [line for line in text.splitlines() if line]
    assert lines[:3] == [
        "stage/inc-2026-042 INC-2026-042",
        "the laptop of a database admin was stolen",
        "Secrets rotated",
    ]
    assert re.search(r"Services updated\nin 5\dm", text)
    assert re.search(r"Access audited\nin 23h", text)
    assert "ask security@example.test" in text


def test_who_may_list_emergencies_only_sees_no_secrets(
    page: Page, bystander: Operator, dashboard: Dashboard
) -> None:
    log_in(page, bystander, dashboard.token("steward"))

    assert "There is no ManagedSecret in these namespaces." in page.text
    assert page.evaluate("document.querySelectorAll('tbody tr').length") == 0


def test_one_secret_has_a_page_with_its_workloads(
    page: Page, bystander: Operator, dashboard: Dashboard
) -> None:
    log_in(page, bystander, dashboard.token("auditor"))
    page.follow("a[href='/ui/secrets/stage/session-keys']")

    assert page.path == "/ui/secrets/stage/session-keys"
    assert {"Deployment/worker", "Rolling", "Deployment/cron", "Pending"} <= set(page.text.split())
    assert "RollOut: Deployment/worker is rolling" in page.text


def test_a_secret_with_a_database_account_shows_its_logins(
    page: Page, bystander: Operator, dashboard: Dashboard
) -> None:
    log_in(page, bystander, dashboard.token("auditor"))
    page.follow("a[href='/ui/secrets/stage/invoices-db']")

    shown = page.evaluate(
        "[...document.querySelectorAll('tbody tr')].map(row => [...row.cells].map(cell => cell.innerText))"
        ".filter(row => row[0].startsWith('invoices_'))"
    )
    since = clock(datetime.fromisoformat(STATES["invoices-db"][1]["credentials"][0]["since"]))
    assert shown == [
        ["invoices_b", "3", "Proven", since],
        ["invoices_a", "2", "Closed (proven refused)", since],
    ]


def test_one_emergency_has_a_page_with_its_timeline(
    page: Page, bystander: Operator, dashboard: Dashboard
) -> None:
    log_in(page, bystander, dashboard.token("steward"))
    page.follow("a[href='/ui/emergencies/stage/inc-2026-042']")

    assert "declared: the laptop was stolen" in page.text
    assert "api is not ready" in page.text


@pytest.mark.parametrize(
    ("path", "place"), [("/ui", ".emergency:has(.done)"), ("/ui/emergencies/stage/inc-2026-042", ".facts")]
)
def test_an_incident_shows_the_contacts_of_the_organisation(
    path: str, place: str, page: Page, bystander: Operator, dashboard: Dashboard
) -> None:
    log_in(page, bystander, dashboard.token("steward"))
    page.open(url_of(bystander, path))

    text = page.evaluate(f"document.querySelector({place!r}).innerText")
    for role, contact in CONTACTS.items():
        assert re.search(rf"{re.escape(role)}\W+{re.escape(contact)}", text, re.IGNORECASE), role
    assert page.text.count("security@shop.test") == 1


def test_a_replica_that_stands_by_says_who_leads(
    page: Page, bystander: Operator, dashboard: Dashboard
) -> None:
    log_in(page, bystander, dashboard.token("auditor"))

    def told() -> bool:
        page.open(url_of(bystander))
        return "keyturn-7d9c5-x2x4q leads, this replica is on standby" in page.text

    eventually(told, "a word about the leader")


def test_the_replica_that_leads_says_so(page: Page, operator: Operator, dashboard: Dashboard) -> None:
    log_in(page, operator, dashboard.token("developer"))

    assert "this replica leads" in page.text


@pytest.mark.parametrize(
    "path",
    ["/ui", "/ui?namespace=stage", "/ui/secrets/stage/hostile", "/ui/emergencies/stage/inc-hostile"],
)
def test_hostile_names_and_messages_are_text(
    path: str, page: Page, bystander: Operator, dashboard: Dashboard
) -> None:
    log_in(page, bystander, dashboard.token("auditor"))
    page.open(url_of(bystander, path))

    assert HOSTILE in page.text
    assert page.evaluate("document.querySelectorAll('script, img:not([src=\"/ui/icon.svg\"])').length") == 0
    assert page.evaluate("document.title").endswith("· Keyturn")
    assert complaints(page) == []


def test_a_namespace_that_is_not_there_shows_nothing_of_what_was_asked(
    page: Page, operator: Operator, dashboard: Dashboard
) -> None:
    log_in(page, operator, dashboard.token("developer"))
    page.open(url_of(operator, "/ui?namespace=%3Cscript%3E"))

    assert "script" not in page.source
    assert "There is no ManagedSecret in these namespaces." in page.text


def test_no_value_reaches_any_page(page: Page, operator: Operator, dashboard: Dashboard) -> None:
    secret = dashboard.objects.get("Secret", "shop", "checkout")
    log_in(page, operator, dashboard.token("auditor"))
    observed = [page.source]
    for path in ("/ui/secrets/shop/checkout", "/ui/secrets/bank/ledger", "/ui?namespace=shop"):
        page.open(url_of(operator, path))
        assert page.path in {"/ui", path}
        observed.append(page.source)

    encoded = list(secret["data"].values())
    values = [CANARY, *encoded, *(base64.b64decode(text).decode() for text in encoded)]
    assert len(set(values)) == 4
    assert sum(value in text for value in values for text in observed) == 0


def test_new_values_are_seen_after_a_reload(page: Page, operator: Operator, dashboard: Dashboard) -> None:
    log_in(page, operator, dashboard.token("developer"))
    page.open(url_of(operator, "/ui/secrets/shop/checkout"))
    before = revision(page)

    dashboard.kubectl(
        "annotate", "ms", "checkout", "-n", "shop", f"keyturn.dev/rotate=after-{before}", "--overwrite"
    )

    def turned() -> bool:
        page.open(url_of(operator, "/ui/secrets/shop/checkout"))
        return revision(page) == before + 1

    eventually(turned, "the next revision on the page")


def revision(page: Page) -> int:
    return int(page.evaluate("document.querySelectorAll('.facts dd')[1].innerText"))


# How it is shown


def test_nothing_comes_from_elsewhere_and_nothing_is_forbidden(
    page: Page, bystander: Operator, dashboard: Dashboard
) -> None:
    log_in(page, bystander, dashboard.token("auditor"))
    page.follow("a[href='/ui/secrets/stage/redis']")

    ours = url_of(bystander, "/")
    assert [url for url in page.asked if not url.startswith(ours)] == []
    assert complaints(page) == []
    assert any(url.endswith("/ui/style.css") for url in page.asked)


@pytest.mark.parametrize("width", [320, 768, 1400])
@pytest.mark.parametrize("path", ["/ui", "/ui/secrets/stage/hostile", "/ui/emergencies/stage/inc-2026-042"])
def test_nothing_is_wider_than_the_screen(
    width: int, path: str, page: Page, bystander: Operator, dashboard: Dashboard
) -> None:
    page.look(width=width)
    log_in(page, bystander, dashboard.token("auditor"))
    page.open(url_of(bystander, path))

    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(
    theme: str, page: Page, bystander: Operator, dashboard: Dashboard
) -> None:
    page.look(theme=theme)
    found = []
    log_in(page, bystander, "no-token-of-anybody")
    found += page.evaluate(_CONTRASTS)
    log_in(page, bystander, dashboard.token("auditor"))
    for path in ("/ui", "/ui/secrets/stage/session-keys", "/ui/emergencies/stage/inc-2026-042"):
        page.open(url_of(bystander, path))
        found += page.evaluate(_CONTRASTS)

    assert found == []


_CONTRASTS = """
(() => {
  const channels = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = one => {
    const found = channels(getComputedStyle(one).backgroundColor);
    return found.length === 3 || found[3] > 0 ? found : behind(one.parentElement);
  };
  const bad = [];
  for (const one of document.querySelectorAll('body *')) {
    const own = [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || !one.getClientRects().length) continue;
    const pair = [light(channels(getComputedStyle(one).color)), light(behind(one))].sort((a, b) => b - a);
    if ((pair[0] + 0.05) / (pair[1] + 0.05) < 4.5) bad.push(one.className + ': ' + one.innerText.slice(0, 40));
  }
  return bad;
})()
"""
