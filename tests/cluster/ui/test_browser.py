"""The pages of `keyturn ui` in a real browser, against a real API server, with the rights of several people."""

import base64
import re
from datetime import datetime

import pytest

from keyturn.core.times import clock
from sandbox.harness import eventually
from tests.cluster.ui.ui_cluster import CANARY, HOSTILE, Desk
from tests.cluster.ui.ui_objects import CONTACTS, STATES
from tests.support.browser import Page
from tests.support.chromium import SECONDS
from tests.support.operator import Operator
from tests.support.web_ui import WebUi

pytestmark = pytest.mark.timeout(SECONDS)

_HOSTILE_PATHS = (
    "",
    "?namespace=stage",
    "/secrets/stage/hostile",
    "/emergencies/stage/inc-hostile",
    "/connections",
)


# With whose rights


@pytest.mark.usefixtures("operator")
def test_all_namespaces_are_shown_and_one_can_be_chosen(page: Page, desk: Desk) -> None:
    with desk.serving("auditor", "--all-namespaces", "--no-browser") as ui:
        page.open(ui.url)
        every = set(page.text.split())
        page.evaluate("document.querySelector('#namespace').value = 'bank'")
        page.follow(".filter button")

        assert {"shop/checkout", "bank/ledger", "stage/redis"} <= every
        assert "bank/ledger" in page.text
        assert not re.search("shop/|stage/", page.text)


@pytest.mark.usefixtures("operator")
def test_one_namespace_shows_nothing_of_others(page: Page, desk: Desk) -> None:
    with desk.serving("developer", "--namespace=shop", "--no-browser") as ui:
        page.open(ui.url)

        assert "shop/checkout" in page.text
        assert "namespace shop of https://" in page.text
        assert not re.search("bank|ledger", page.source)


def test_a_section_that_may_not_be_read_says_so_and_the_others_are_shown(page: Page, desk: Desk) -> None:
    with desk.serving("steward", "--namespace=stage", "--no-browser") as ui:
        page.open(ui.url)

        assert "stage/inc-2026-042" in page.text
        assert "cannot list managedsecrets in namespace stage; ask an administrator" in page.text
        assert "No ManagedSecret is shown" not in page.text
        tiles = page.evaluate("[...document.querySelectorAll('.tile span')].map(one => one.innerText)")
        assert (tiles, page.evaluate("document.querySelectorAll('tbody tr').length")) == (
            ["Open emergencies"],
            0,
        )


def test_an_object_that_may_not_be_read_says_so(page: Page, desk: Desk) -> None:
    with desk.serving("developer", "--namespace=shop", "--no-browser") as ui:
        page.open(f"{ui.url}/secrets/bank/ledger")

        assert "forbidden: cannot get managedsecrets in namespace bank" in page.text


# What is shown


def test_every_state_stands_in_its_group(page: Page, stage: WebUi) -> None:
    page.open(stage.url)

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


def test_an_emergency_shows_its_clock(page: Page, stage: WebUi) -> None:
    page.open(stage.url)

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


def test_one_secret_has_a_page_with_its_workloads(page: Page, stage: WebUi) -> None:
    page.open(stage.url)
    page.follow("a[href$='/secrets/stage/session-keys']")

    assert page.path.endswith("/secrets/stage/session-keys")
    assert {"Deployment/worker", "Rolling", "Deployment/cron", "Pending", "env,", "volume"} <= set(
        page.text.split()
    )
    assert "RollOut: Deployment/worker is rolling" in page.text


def test_a_secret_with_a_database_account_shows_its_logins(page: Page, stage: WebUi) -> None:
    page.open(f"{stage.url}/secrets/stage/invoices-db")

    shown = page.evaluate(
        "[...document.querySelectorAll('tbody tr')].map(row => [...row.cells].map(cell => cell.innerText))"
        ".filter(row => row[0].startsWith('invoices_'))"
    )
    since = clock(datetime.fromisoformat(STATES["invoices-db"][1]["credentials"][0]["since"]))
    assert shown == [
        ["invoices_b", "3", "Proven", since],
        ["invoices_a", "2", "Closed (proven refused)", since],
    ]


def test_one_emergency_has_a_page_with_its_timeline(page: Page, stage: WebUi) -> None:
    page.open(stage.url)
    page.follow("a[href$='/emergencies/stage/inc-2026-042']")

    assert "declared: the laptop was stolen" in page.text
    assert "api is not ready" in page.text


@pytest.mark.parametrize(
    ("path", "place"), [("", ".emergency:has(.done)"), ("/emergencies/stage/inc-2026-042", ".facts")]
)
def test_an_incident_shows_the_contacts_of_the_organisation(
    path: str, place: str, page: Page, stage: WebUi
) -> None:
    page.open(f"{stage.url}{path}")

    text = page.evaluate(f"document.querySelector({place!r}).innerText")
    for role, contact in CONTACTS.items():
        assert re.search(rf"{re.escape(role)}\W+{re.escape(contact)}", text, re.IGNORECASE), role
    assert page.text.count("security@shop.test") == 1


def test_stores_targets_and_classes_have_a_page(page: Page, stage: WebUi) -> None:
    page.open(stage.url)
    page.follow("nav a[href$='/connections']")

    rows = page.evaluate(
        "[...document.querySelectorAll('tbody tr')].map(row =>"
        " [...row.cells].slice(0, 4).map(cell => cell.innerText.split('\\n')[0]))"
    )
    written = [row for row in rows if row[1].startswith("stage/")]
    assert written == [
        ["NotReady", "stage/a-secretstore", "SecretStore", "kubernetes"],
        ["Stalled", "stage/a-databasetarget", "DatabaseTarget", "postgresql 18.1"],
    ]
    assert {tuple(row[1:3]) for row in rows if row not in written} == {
        ("a-clustersecretstore", "ClusterSecretStore"),
        ("a-clusterdatabasetarget", "ClusterDatabaseTarget"),
        ("a-secretclass", "SecretClass"),
    }
    assert "vault.stage.svc is sealed" in page.text


@pytest.mark.parametrize("path", _HOSTILE_PATHS)
def test_hostile_names_and_messages_are_text(path: str, page: Page, stage: WebUi) -> None:
    page.open(f"{stage.url}{path}")

    assert HOSTILE in page.text
    assert page.evaluate("document.querySelectorAll('script, img:not([src$=\"/icon.svg\"])').length") == 0
    assert page.evaluate("document.title").endswith("· Keyturn")
    assert page.complaints == []


def test_a_namespace_that_does_not_exist_shows_nothing_of_what_was_asked(page: Page, stage: WebUi) -> None:
    page.open(f"{stage.url}?namespace=%3Cscript%3E")

    assert "script" not in page.source
    assert "No ManagedSecret is shown." in page.text


@pytest.mark.usefixtures("operator")
def test_no_value_reaches_any_page(page: Page, desk: Desk) -> None:
    secret = desk.objects.get("Secret", "shop", "checkout")
    observed = []
    with desk.serving("auditor", "-A", "--no-browser") as ui:
        for path in ("", "/secrets/shop/checkout", "/secrets/bank/ledger", "?namespace=shop", "/connections"):
            page.open(f"{ui.url}{path}")
            observed.append(page.source)

    encoded = list(secret["data"].values())
    values = [CANARY, *encoded, *(base64.b64decode(text).decode() for text in encoded)]
    assert len(set(values)) == 4
    assert sum(value in text for value in values for text in observed) == 0


def test_new_values_are_seen_after_a_reload(page: Page, operator: Operator, desk: Desk) -> None:
    assert operator.returncode is None
    with desk.serving("developer", "--namespace=shop", "--no-browser") as ui:
        page.open(f"{ui.url}/secrets/shop/checkout")
        before = revision(page)

        rotate = f"keyturn.dev/rotate=after-{before}"
        desk.kubectl("annotate", "ms", "checkout", "-n", "shop", rotate, "--overwrite")

        def turned() -> bool:
            page.open(f"{ui.url}/secrets/shop/checkout")
            return revision(page) == before + 1

        eventually(turned, "the next revision on the page")


def revision(page: Page) -> int:
    return int(page.evaluate("document.querySelectorAll('.facts dd')[1].innerText"))


# How it is shown


def test_nothing_comes_from_elsewhere_and_nothing_is_forbidden(page: Page, stage: WebUi) -> None:
    page.open(stage.url)
    page.follow("a[href$='/secrets/stage/redis']")

    assert [url for url in page.asked if not url.startswith(stage.url)] == []
    assert page.complaints == []
    assert any(url.endswith("/style.css") for url in page.asked)


@pytest.mark.parametrize("width", [320, 768, 1400])
@pytest.mark.parametrize(
    "path", ["", "/secrets/stage/hostile", "/emergencies/stage/inc-2026-042", "/connections"]
)
def test_nothing_is_wider_than_the_screen(width: int, path: str, page: Page, stage: WebUi) -> None:
    page.look(width=width)
    page.open(f"{stage.url}{path}")

    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(theme: str, page: Page, stage: WebUi) -> None:
    page.look(theme=theme)
    found = []
    for path in (
        "",
        "/secrets/stage/session-keys",
        "/emergencies/stage/inc-2026-042",
        "/connections",
        "/none",
    ):
        page.open(f"{stage.url}{path}")
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
