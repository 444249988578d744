"""What templates make of a Secret, and when they are rendered anew."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING

from keyturn.core.value import Value
from tests.cluster.namespace import bytes_, literal, password

if TYPE_CHECKING:
    from tests.cluster.namespace import Space
    from tests.support.objects import Body

URL = "postgresql://{{ username }}:{{ password | uri_encode }}@db/shop"


def target(**templates: str) -> Body:
    return {"template": {"data": templates}}


def test_a_template_is_a_key_beside_the_values(space: Space) -> None:
    space.managed(literal("username", "shop"), password(), target=target(URL=URL))

    values = space.values()
    assert values.keys() == {"username", "password", "URL"}
    encoded = urllib.parse.quote(values["password"].reveal().decode(), safe="")
    assert values["URL"] == Value.of_text(f"postgresql://shop:{encoded}@db/shop")


def test_binary_values_are_bit_exact_in_the_secret_and_in_a_template(space: Space) -> None:
    space.managed(
        bytes_("raw", length=4096, encoding="raw"), target=target(encoded="{{ raw | base64_encode }}")
    )

    values = space.values()
    assert len(values["raw"].reveal()) == 4096
    assert Value.from_base64(values["encoded"].reveal().decode()) == values["raw"]
