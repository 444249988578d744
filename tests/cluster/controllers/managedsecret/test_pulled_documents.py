"""What dataFrom brings: every property of a key of a store, on a real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.value import Value
from tests.cluster.namespace import literal, password
from tests.cluster.workloads import deployment, env

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.cluster.store_objects import Stores


def spread(space: Space, *every: Any, data: Any = None, **spec: Any) -> None:
    """Create a ManagedSecret that has dataFrom, and data only where it is given."""
    whole = {"dataFrom": list(every), "rollout": {"debounce": "0s"}, **spec}
    whole |= {"data": data} if data else {}
    space.create({"kind": "ManagedSecret", "metadata": {"name": "auth"}, "spec": whole})


def texts(space: Space) -> dict[str, str]:
    return {key: value.reveal().decode() for key, value in space.values().items()}


def test_every_property_becomes_a_key(space: Space, files: Stores) -> None:
    files.keep_json("app", USER="shop", PORT=5432, OPTIONS={"tls": True})
    spread(space, files.all_of("app"))
    space.settled()
    assert texts(space) == {"USER": "shop", "PORT": "5432", "OPTIONS": '{"tls":true}'}


def test_a_prefix_keeps_two_documents_apart(space: Space, files: Stores) -> None:
    files.keep_json("app", USER="shop")
    files.keep_json("db", USER="orders")
    spread(space, files.all_of("app", "APP_"), files.all_of("db", "DB_"))
    space.settled()
    assert texts(space) == {"APP_USER": "shop", "DB_USER": "orders"}


def test_what_data_writes_goes_before(space: Space, files: Stores) -> None:
    files.keep_json("app", USER="theirs", PASSWORD="theirs")  # noqa: S106
    spread(space, files.all_of("app"), data=[literal("USER", "ours")])
    space.settled()
    assert texts(space) == {"USER": "ours", "PASSWORD": "theirs"}


def test_a_key_that_data_leaves_is_theirs_again(space: Space, files: Stores) -> None:
    files.keep_json("app", USER="theirs")
    spread(space, files.all_of("app"), data=[literal("USER", "ours"), literal("PORT", "1")])
    space.settled()

    space.respec(lambda spec: spec["data"].pop(0))
    space.settled(revision=2)

    assert texts(space) == {"USER": "theirs", "PORT": "1"}


def test_a_template_goes_before_and_reads_what_is_brought(space: Space, files: Stores) -> None:
    files.keep_json("app", USER="shop", HOST="db")
    template = {"template": {"data": {"URL": "postgresql://{{ USER }}@{{ HOST }}", "HOST": "hidden"}}}
    spread(space, files.all_of("app"), target=template)
    space.settled()
    assert texts(space) == {"USER": "shop", "HOST": "hidden", "URL": "postgresql://shop@db"}

    files.keep_json("app", USER="orders", HOST="db")
    space.refreshed(revision=2)
    assert texts(space)["URL"] == "postgresql://orders@db"


def test_a_template_that_reads_what_is_not_brought_is_reported(space: Space, files: Stores) -> None:
    files.keep_json("app", USER="shop")
    spread(space, files.all_of("app"), target={"template": {"data": {"URL": "{{ HOST }}"}}})
    assert "template 'URL' cannot be rendered" in space.stalled("TemplateFailed")
    assert space.find("Secret", "auth") is None


def test_a_property_that_goes_and_that_a_template_reads_leaves_what_is_there(
    space: Space, files: Stores
) -> None:
    files.keep_json("app", USER="shop", HOST="db")
    every = {**files.all_of("app"), "deletionPolicy": "Delete"}
    spread(space, every, target={"template": {"data": {"URL": "{{ USER }}@{{ HOST }}"}}})
    space.settled()
    before = space.values()

    files.keep_json("app", USER="shop")
    space.refresh()

    space.stalled("TemplateFailed")
    assert space.values() == before


def test_a_property_that_comes_or_goes_restarts_who_reads_it(space: Space, files: Stores) -> None:
    files.keep_json("app", USER="shop", OLD="x")
    spread(space, {**files.all_of("app"), "deletionPolicy": "Delete"})
    space.settled()
    space.run(deployment("api", env("auth", "USER")))
    space.run(deployment("old", env("auth", "OLD")))

    files.keep_json("app", USER="shop", NEW="y", OLD="z")
    space.refreshed(revision=2)
    assert texts(space) == {"USER": "shop", "NEW": "y", "OLD": "z"}
    assert (space.marker("api"), space.marker("old")) == (None, "auth=2")

    files.keep_json("app", USER="shop", NEW="y")
    space.refreshed(revision=3)
    assert texts(space) == {"USER": "shop", "NEW": "y"}


def test_a_property_that_goes_stays_here_and_restarts_no_workload(space: Space, files: Stores) -> None:
    files.keep_json("app", USER="shop", OLD="x")
    spread(space, files.all_of("app"))
    space.settled()
    space.run(deployment("old", env("auth", "OLD")))

    files.keep_json("app", USER="shop")
    space.refreshed(revision=1)
    space.until_condition("Refreshed", "True", "Retained")
    files.keep_json("app", USER="orders")
    space.refreshed(revision=2)

    assert texts(space) == {"USER": "orders", "OLD": "x"}
    assert space.marker("old") is None


def test_a_property_that_is_gone_leaves_when_the_spec_lets_it(space: Space, files: Stores) -> None:
    files.keep_json("app", USER="shop", OLD="x")
    spread(space, files.all_of("app"))
    space.settled()
    files.keep_json("app", USER="shop")
    space.refreshed(revision=1)

    space.respec(lambda spec: spec["dataFrom"][0].update(deletionPolicy="Delete"))
    space.refreshed(revision=2)

    assert texts(space) == {"USER": "shop"}


def test_the_same_document_spelled_otherwise_changes_nothing(space: Space, files: Stores) -> None:
    files.keep("app", '{"A": "1", "B": "2"}')
    spread(space, files.all_of("app"))
    space.settled()

    files.keep("app", '{"B":"2",\n"A":"1"}')
    space.refreshed(revision=1)


def test_two_documents_that_bring_the_same_key_are_distinguished(space: Space, files: Stores) -> None:
    files.keep_json("app", USER="shop")
    files.keep_json("db", USER="orders")
    spread(space, files.all_of("app"), files.all_of("db"))
    said = space.stalled("InvalidKeys")
    assert "dataFrom[0] and dataFrom[1] both bring the key 'USER'; give one of them another prefix" in said


@pytest.mark.parametrize(
    ("document", "reason", "said"),
    [
        ('{"a b": "x"}', "InvalidKeys", "whose name makes no key of a Secret, number 1 of 1 there"),
        ('{"a": "x", "a.previous": "x"}', "InvalidKeys", "makes no key of a Secret, number 2 of 2 there"),
        ("{}", "EmptyValue", "is empty"),
        (
            "plain",
            "ProviderError",
            "the value is no JSON object; read it by data instead of dataFrom (NotJson)",
        ),
        ('["x"]', "ProviderError", "NoProperties"),
        (
            '{"b": "x", "a": null}',
            "ProviderError",
            "the property 'a' is null; give it a value at the store (NoValue)",
        ),
    ],
    ids=["a blank", "an old name", "no property", "no JSON", "a list", "null"],
)
def test_what_cannot_be_a_secret_is_named(
    document: str, reason: str, said: str, space: Space, files: Stores
) -> None:
    files.keep("app", document)
    spread(space, files.all_of("app"), data=[password()])
    message = space.stalled(reason)
    assert said in message
    assert message.startswith("dataFrom[0]: key 'app' of ClusterSecretStore")
    assert space.find("Secret", "auth") is None


def test_a_document_that_is_spoiled_leaves_what_is_there(space: Space, files: Stores) -> None:
    files.keep_json("app", USER="shop", PASSWORD="x")  # noqa: S106
    spread(space, files.all_of("app"))
    space.settled()
    before = space.values()

    files.keep_json("app", USER="shop", PASSWORD="")
    space.refresh()
    assert "dataFrom[0]: what would go into the key 'PASSWORD' is empty" in space.stalled("EmptyValue")
    space.looked_at()
    assert space.stalled("EmptyValue")
    assert space.values() == before


def test_a_foreign_key_is_not_written_over(space: Space, files: Stores) -> None:
    space.foreign()
    files.keep_json("app", USER="shop", somebody="ours")
    spread(space, files.all_of("app"), target={"creationPolicy": "Merge"})
    assert "somebody" in space.stalled("KeyConflict")
    assert space.values() == {"somebody": Value(b"else")}
