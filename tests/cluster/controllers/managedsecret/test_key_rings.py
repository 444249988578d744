"""A key ring keeps data readable: over rotations, from a single key of before, and back one rotation."""

import base64
import json

import yaml
from cryptography.fernet import Fernet, MultiFernet

from keyturn.core.value import Value
from tests.cluster.controllers.managedsecret.test_shape_examples import EXAMPLES
from tests.cluster.namespace import Space
from tests.cluster.workloads import deployment, env_from
from tests.support.objects import Body

RING = {"name": "storage", "generate": {"keyRing": {"encoding": "fernet"}}}


def readers(written: Value, separator: str = "\n") -> MultiFernet:
    return MultiFernet([Fernet(key) for key in written.reveal().decode().split(separator)])


def secret(key: bytes) -> Body:
    data = {"primary": base64.b64encode(key).decode("ascii")}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "auth"},
        "type": "Opaque",
        "data": data,
    }


def test_the_example_encrypts_with_fernet_and_reads_what_each_key_has_written(space: Space) -> None:
    for body in yaml.safe_load_all((EXAMPLES / "key-ring.yaml").read_text()):
        body["metadata"].pop("namespace")
        space.create(body)
    space.settled("storage-keys")
    written, primaries = [], set()
    for _ in range(3):
        values = space.values("storage-keys")
        primaries.add(values["primary"].reveal())
        written.append(readers(values["keys"], ",").encrypt(b"data"))
        space.rotated("storage-keys")
        now = readers(space.values("storage-keys")["keys"], ",")
        assert {now.decrypt(one) for one in written} == {b"data"}
    assert len(primaries) == 3


def test_an_adopted_key_is_the_primary_one_until_the_rotation_after_the_next_key_is_announced(
    space: Space,
) -> None:
    key = Fernet.generate_key()
    space.create(secret(key))
    space.managed(RING, target={"adopt": "IfUnowned"})
    space.settled(revision=2)
    space.run(deployment("api", env_from("auth")))
    announced = space.values()
    _, following = announced["keys"].reveal().splitlines()
    assert announced["primary"] == Value(key)

    space.rotated()
    promoted = space.values()
    assert promoted["primary"] == Value(following)
    assert readers(promoted["keys"]).decrypt(Fernet(key).encrypt(b"data")) == b"data"


def test_a_rollback_over_two_rotations_is_refused_and_names_the_ring(space: Space) -> None:
    space.managed(RING)
    space.run(deployment("api", env_from("auth")))
    space.rotated()
    space.rotated()
    before = json.loads(space.values()["ring.json"].reveal())

    space.annotate("ManagedSecret", "auth", rollback="1")
    space.until_condition("Stalled", "True", "NoSuchRevision")
    assert json.loads(space.values()["ring.json"].reveal())["primary"] == before["primary"]

    space.annotate("ManagedSecret", "auth", rollback="2")
    space.until_condition("Rotating", "False", "Held")
    assert before["primary"] == json.loads(space.values()["ring.json"].reveal())["next"]
