"""The examples of the page on the shape of the Secret come to rest, and make what they say."""

from pathlib import Path

import bcrypt
import pytest
import yaml

from tests.cluster.namespace import Space
from tests.support.objects import Body

EXAMPLES = Path(__file__).parents[4] / "manifests" / "examples"


def applied(example: str, space: Space) -> Body:
    """Create what an example has, but for the namespace; return its Secret when all is done."""
    name = ""
    for body in yaml.safe_load_all((EXAMPLES / f"{example}.yaml").read_text()):
        body["metadata"].pop("namespace")
        name = body["metadata"]["name"]
        space.create(body)
    status = space.settled(name)
    return space.get("Secret", status["secretName"])


@pytest.mark.parametrize(
    ("example", "keys"),
    [
        ("templates", {"username", "replica", "password", "DATABASE_URL", "application.yaml", "users"}),
        ("merge", {"theme", "session-key", "csrf-key"}),
        ("adopt", {"username", "password"}),
        ("deletion", {"token"}),
        ("immutable", {"key"}),
    ],
)
def test_an_example_comes_to_rest_with_its_keys(example: str, keys: set[str], space: Space) -> None:
    assert set(applied(example, space)["data"]) == keys


def test_what_the_templates_of_the_example_make_is_what_others_read(space: Space) -> None:
    applied("templates", space)

    values = {key: value.reveal().decode() for key, value in space.values("orders-db").items()}
    password = values["password"]
    file = yaml.safe_load(values["application.yaml"])
    assert file.keys() == {"datasource", "made"}
    assert file["datasource"] == {"username": "orders", "password": password}
    user, _, line = values["users"].strip().partition(":")
    assert user == "orders"
    assert bcrypt.checkpw(password.encode(), line.encode())
