"""What templates make of a Secret, and when they are rendered anew."""

from __future__ import annotations

import base64
import urllib.parse
from typing import TYPE_CHECKING

import pytest

from keyturn.core.value import Value
from sandbox.harness import eventually
from tests.cluster.namespace import bytes_, literal, password
from tests.cluster.workloads import deployment, env

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.support.objects import Body

URL = "postgresql://{{ username }}:{{ password | uri_encode }}@db/shop"


def target(**templates: str) -> Body:
    return {"template": {"data": templates}}


def text(space: Space, key: str) -> str:
    return space.values()[key].reveal().decode()


def test_a_template_is_a_key_beside_the_values(space: Space) -> None:
    space.managed(literal("username", "shop"), password(), target=target(URL=URL))

    values = space.values()
    assert values.keys() == {"username", "password", "URL"}
    encoded = urllib.parse.quote(values["password"].reveal().decode(), safe="")
    assert values["URL"] == Value.of_text(f"postgresql://shop:{encoded}@db/shop")


def test_a_template_goes_before_the_item_of_its_name(space: Space) -> None:
    space.managed(literal("username", "shop"), target=target(username="{{ username | upcase }}"))

    assert space.values() == {"username": Value.of_text("SHOP")}


def test_a_rotation_renders_with_the_new_values(space: Space) -> None:
    space.managed(password(), target=target(COPY="{{ password }}"))
    before = space.values()

    space.rotated()

    after = space.values()
    assert after["COPY"] == after["password"] != before["password"]


def test_a_template_with_the_time_in_it_does_not_change_automatically(space: Space) -> None:
    space.managed(password(), target=target(MADE="{{ now }} {{ password | bcrypt }}"))
    before, version = space.values(), space.version("Secret", "auth")

    space.looked_at()
    space.delete("Secret", "auth")
    eventually(lambda: space.find("Secret", "auth") is not None and space.values() == before, "the same")

    space.settled(revision=1)
    assert version != space.version("Secret", "auth")


def test_another_text_makes_a_revision_with_the_same_values(space: Space) -> None:
    space.managed(password(), target=target(A="one {{ password }}", B="{{ now }}"))
    before = space.values()

    space.respec(lambda spec: spec["target"]["template"]["data"].update(A="two {{ password }}"))

    status = space.settled(revision=2)
    after = space.values()
    assert status["history"][0]["reason"] == "SpecChanged"
    assert text(space, "A") == "two " + before["password"].reveal().decode()
    assert {key: after[key] == before[key] for key in after} == {"A": False, "B": True, "password": True}


def test_a_template_that_reads_nothing_new_stays_through_a_rotation(space: Space) -> None:
    space.managed(
        password(),
        bytes_(),
        target=target(A="{{ token | bcrypt }}", B="{{ password | bcrypt }}"),
        rotation={"only": ["password"]},
    )
    before = space.values()

    space.rotated()

    after = space.values()
    assert {key: after[key] == before[key] for key in "AB"} == {"A": True, "B": False}


def test_a_template_comes_and_goes_with_the_spec(space: Space) -> None:
    space.managed(password())
    before = space.values()

    space.respec(lambda spec: spec.update(target=target(A="x")))
    space.settled(revision=2)
    assert space.values() == before | {"A": Value.of_text("x")}

    space.respec(lambda spec: spec.pop("target"))
    space.settled(revision=3)
    assert space.values() == before


def test_only_the_users_of_a_changed_template_are_restarted(space: Space) -> None:
    space.managed(password(), target=target(A="one"))
    space.second_after()
    space.run(deployment("reader", env("auth", "A")))
    space.run(deployment("other", env("auth", "password")))

    space.respec(lambda spec: spec["target"]["template"]["data"].update(A="two"))

    space.settled(revision=2)
    assert (space.marker("reader"), space.marker("other")) == ("auth=2", None)


def test_an_edited_key_of_a_template_is_put_back(space: Space) -> None:
    space.managed(password(), target=target(A="one"))
    before = space.values()

    space.edit("Secret", "auth", lambda secret: secret["data"].update(A=base64.b64encode(b"x").decode()))

    eventually(lambda: space.values() == before, "repaired values")
    assert space.until_event("DriftRepaired").endswith("revision 1: A")


def test_binary_values_are_bit_exact_in_the_secret_and_in_a_template(space: Space) -> None:
    space.managed(
        bytes_("raw", length=4096, encoding="raw"), target=target(encoded="{{ raw | base64_encode }}")
    )

    values = space.values()
    assert len(values["raw"].reveal()) == 4096
    assert Value.from_base64(values["encoded"].reveal().decode()) == values["raw"]


FAILED = (
    "template 'A' cannot be rendered with the values that there are: it reads what is not there, or what is no text,"
    " or computes what it cannot, or too much; give a default, write base64_encode, hash at most 72 bytes by"
    " bcrypt, or loop less"
)
REFUSED = {
    "an unknown value": (
        "{{ pasword }}",
        "InvalidTemplate",
        "template 'A', line 1: there is no value 'pasword'; there is: password",
    ),
    "a syntax error": ("a\n{{ password", "InvalidTemplate", "template 'A', line 2: {{ is never closed"),
    "another template": (
        "{% render 'x' %}",
        "InvalidTemplate",
        (
            "template 'A', line 1: unexpected tag 'render';"
            " there are the tags assign, break, capture, case, continue, for, if, unless, raw and comment"
        ),
    ),
    "bytes as text": (
        "{{ raw }}",
        "TemplateFailed",
        FAILED,
    ),
    "a bomb": (
        "{% for n in (1..1000000000) %}x{% endfor %}",
        "TemplateFailed",
        FAILED,
    ),
}


@pytest.mark.parametrize(
    ("template", "reason", "message"), [pytest.param(*case, id=name) for name, case in REFUSED.items()]
)
def test_a_template_that_is_refused_leaves_the_secret_as_it_was(
    template: str, reason: str, message: str, space: Space
) -> None:
    items = [password(), *([bytes_("raw", encoding="raw")] if "raw" in template else [])]
    space.managed(*items)
    version = space.version("Secret", "auth")

    space.respec(lambda spec: spec.update(target=target(A=template)))

    assert space.stalled(reason) == message
    assert space.version("Secret", "auth") == version


def test_a_refused_template_makes_nothing(space: Space) -> None:
    space.manage(password(), target=target(A="{{ pasword }}"))

    space.stalled("InvalidTemplate")

    assert (space.find("Secret", "auth"), space.find("Secret", "auth-keyturn")) == (None, None)


def test_a_corrected_template_is_followed(space: Space) -> None:
    space.manage(password(), target=target(A="{{ pasword }}"))
    space.stalled("InvalidTemplate")

    space.respec(lambda spec: spec["target"]["template"]["data"].update(A="{{ password }}"))

    space.settled(revision=1)
    assert space.values()["A"] == space.values()["password"]


def test_templates_over_1_mib_are_refused_before_the_api_server_does(space: Space) -> None:
    doubled = (
        "{% assign x = 'abcdefgh' %}{% for n in (1..16) %}{% assign x = x | append: x %}{% endfor %}{{ x }}"
    )

    space.manage(password(), target=target(A=doubled, B=doubled, C=doubled))

    assert space.stalled("TooLarge").startswith("the values exceed the 384 KiB")
