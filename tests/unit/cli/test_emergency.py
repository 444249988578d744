"""Which ManagedSecrets `keyturn emergency declare` takes, in which namespaces, and what it refuses."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.console import Console
from tests.unit.cli.fake_api import FakeApi, fake_api, managed

_DECLARE = ("emergency", "declare", "INC-7", "--reason", "a leak")


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api(
        FakeApi(
            managed("auth", labels={"team": "auth", "shop.test/tier": "gold"}),
            managed("pay", labels={"team": "pay"}),
            managed("mail", "post", labels={"team": "auth"}),
            namespaces=("shop", "post"),
        )
    ) as api:
        yield api


def declared(api: FakeApi) -> dict[str, Any]:
    """Return the selector or names of each declaration, by namespace."""
    return {
        namespace: body["spec"].get("names") or body["spec"]["selector"]
        for (kind, namespace, _), body in api.objects.items()
        if kind == "emergencyrotations"
    }


# Labels


@pytest.mark.parametrize("selector", ["team=auth,shop.test/tier=gold", "team==auth, shop.test/tier = gold"])
def test_every_label_is_declared(selector: str, api: FakeApi, console: Console) -> None:
    console(*_DECLARE, "-l", selector)

    assert declared(api) == {
        "shop": {
            "matchExpressions": [
                {"key": "team", "operator": "In", "values": ["auth"]},
                {"key": "shop.test/tier", "operator": "In", "values": ["gold"]},
            ]
        }
    }


def test_a_label_with_two_values_selects_nothing(api: FakeApi, console: Console) -> None:
    assert "no ManagedSecret is selected" in console.refusal(*_DECLARE, "-l", "team=auth,team=pay")
    assert declared(api) == {}


@pytest.mark.parametrize(
    ("selector", "expressions"),
    [
        ("team in (auth, ops)", [{"key": "team", "operator": "In", "values": ["auth", "ops"]}]),
        (
            "team notin (pay,ops),shop.test/tier",
            [
                {"key": "team", "operator": "NotIn", "values": ["pay", "ops"]},
                {"key": "shop.test/tier", "operator": "Exists"},
            ],
        ),
        (
            "team!=pay, !old",
            [
                {"key": "team", "operator": "NotIn", "values": ["pay"]},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        ),
    ],
)
def test_requirements_are_declared_as_kubectl_reads_them(
    selector: str, expressions: list[dict[str, Any]], api: FakeApi, console: Console
) -> None:
    said = console(*_DECLARE, "-l", selector)

    assert declared(api) == {"shop": {"matchExpressions": expressions}}
    assert said.endswith("for 1: auth\n")


@pytest.mark.parametrize(
    ("selector", "part"),
    [
        ("team in (auth", "team in (auth"),
        ("team in ()", "team in ()"),
        ("team in (a b)", "team in (a b)"),
        ("!team=auth", "!team=auth"),
        ("=auth", "=auth"),
        ("te am=auth", "te am=auth"),
        ("Shop.Test/team=auth", "Shop.Test/team=auth"),
        ("team=a uth", "team=a uth"),
        ("team=auth=x", "team=auth=x"),
        ("team=auth,", ""),
    ],
)
def test_a_selector_that_would_lose_a_part_is_refused(
    selector: str, part: str, api: FakeApi, console: Console
) -> None:
    done = console.run(*_DECLARE, "-l", selector)

    assert (done.returncode, done.stdout, declared(api)) == (2, "", {})
    assert f"Error: {part!r} is no part of a selector; write KEY=VALUE" in done.stderr


# Namespaces


def test_every_namespace_needs_a_confirmation(api: FakeApi, console: Console) -> None:
    done = console.run(*_DECLARE, "--all", "-A")

    assert (done.returncode, done.stdout, declared(api)) == (2, "", {})
    assert "this would rotate 3 ManagedSecrets in 2 namespaces; confirm it with --yes" in done.stderr


def test_a_confirmed_declaration_is_made_in_every_namespace(api: FakeApi, console: Console) -> None:
    console(*_DECLARE, "--all", "-A", "--yes")

    assert declared(api) == {"shop": {}, "post": {}}


def test_a_dry_run_of_every_namespace_needs_none(api: FakeApi, console: Console) -> None:
    assert console(*_DECLARE, "--all", "-A", "--dry-run").splitlines() == [
        "emergencyrotation/inc-7 would be declared in post, for 1: mail",
        "emergencyrotation/inc-7 would be declared in shop, for 2: auth, pay",
    ]
    assert declared(api) == {}


def test_a_namespace_that_is_named_twice_counts_once(api: FakeApi, console: Console) -> None:
    said = console(*_DECLARE, "--secret", "auth", "--in", "shop", "--in", "shop")

    assert said == "emergencyrotation/inc-7 declared in shop, for 1: auth\n"
    assert declared(api) == {"shop": ["auth"]}


@pytest.mark.parametrize("places", [("-A", "--yes"), ("--in", "post")], ids=" ".join)
def test_another_namespace_beside_is_refused(places: tuple[str, ...], api: FakeApi, console: Console) -> None:
    done = console.run(*_DECLARE, "--all", *places, "-n", "shop")

    assert (done.returncode, done.stdout, declared(api)) == (2, "", {})


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("status", "INC-7"),
        ("acknowledge", "INC-7", "--audit", "--by", "me"),
        (*_DECLARE[1:], "--all"),
    ],
    ids=" ".join,
)
def test_a_namespace_that_does_not_exist_is_refused_beside_another(
    command: tuple[str, ...], api: FakeApi, console: Console
) -> None:
    assert "'nope'" in console.refusal("emergency", *command, "--in", "shop", "--in", "nope")
    assert declared(api) == {}


def test_without_emergencies_and_the_right_to_get_namespaces_none_is_shown(
    api: FakeApi, console: Console
) -> None:
    api.refused["GET", "/api/v1/namespaces/"] = 403

    assert "no emergency is declared" in console("emergency", "status")


def test_a_forbidden_declaration_names_the_role_that_permits_it(api: FakeApi, console: Console) -> None:
    api.refused["POST", "/namespaces/shop/emergencyrotations"] = 403

    done = console.run(*_DECLARE, "--all", "--in", "shop", "--in", "post")

    assert (done.returncode, set(declared(api))) == (1, {"post"})
    assert "in shop: forbidden: " in done.stderr
    assert "ClusterRole keyturn-edit" in done.stderr


# What cannot be meant


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "write one of --selector, --secret and --all"),
        (("--all", "--secret", "auth"), "write one of --selector, --secret and --all"),
        (("--secret", "auht"), "there is no ManagedSecret auht"),
        (("-l", "team=nobody"), "no ManagedSecret is selected"),
        (("--all", "-A", "--in", "shop"), "write -A or --in, not both"),
    ],
)
def test_what_selects_nothing_or_too_much_declares_nothing(
    arguments: tuple[str, ...], said: str, api: FakeApi, console: Console
) -> None:
    done = console.run(*_DECLARE, *arguments)

    assert (done.returncode in {1, 2}, declared(api)) == (True, {})
    assert said in done.stderr


def test_a_number_that_makes_no_name_declares_nothing(api: FakeApi, console: Console) -> None:
    done = console.run("emergency", "declare", "!!", "--reason", "x", "--all")

    assert (done.returncode, declared(api)) == (2, {})


def test_evictions_are_declared_on_request_only(api: FakeApi, console: Console) -> None:
    console(*_DECLARE, "--all")
    console("emergency", "declare", "INC-8", "--reason", "x", "--all", "--evict")
    console("emergency", "declare", "INC-9", "--reason", "x", "--all", "--evict", "--dry-run")

    evicts = {
        name: body["spec"].get("evict")
        for (kind, _, name), body in api.objects.items()
        if kind == "emergencyrotations"
    }
    assert evicts == {"inc-7": None, "inc-8": True}


@pytest.mark.parametrize("command", ["status", "report"])
def test_where_nothing_is_declared_the_namespace_is_named(
    command: str, api: FakeApi, console: Console
) -> None:
    assert declared(api) == {}
    assert "no emergency 'INC-8' is declared in namespace shop" in console.refusal(
        "emergency", command, "INC-8"
    )


# Texts


@pytest.mark.parametrize(
    "options",
    [("--reason", ""), ("--reason", "a\nb"), ("--reason", "a" * 1025), ("--contact", " ")],
    ids=["no reason", "two lines", "a long reason", "no contact"],
)
def test_a_text_that_the_api_server_would_refuse_is_refused(
    options: tuple[str, ...], api: FakeApi, console: Console
) -> None:
    done = console.run(*_DECLARE, "--all", *options)

    assert (done.returncode, done.stdout, declared(api)) == (2, "", {})
