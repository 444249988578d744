"""Generator dockerConfig: credentials for a container registry, in the format of the kubelet and Docker."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import pydantic

from keyturn.api.base import Schema
from keyturn.api.spelled import Spelled
from keyturn.core.errors import Stalled
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.desired import VALUE
from keyturn.core.value import Value

from ._spelled import Username
from .base import Generator, GeneratorContext, Outputs

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONFIG = ".dockerconfigjson"
_PASSWORD = "password"  # noqa: S105  # the name of an output

Registry = Annotated[
    str,
    Spelled(
        r"^(https?://)?[A-Za-z0-9][-A-Za-z0-9._]*(:[0-9]{1,5})?(/[-A-Za-z0-9._/]*)?$",
        "write the registry as images name it, such as registry.shop.test:5000 or https://index.docker.io/v1/",
        253,
    ),
]


class ValueRef(Schema):
    """Another item of data."""

    name: str = pydantic.Field(min_length=1, max_length=253)
    """The name of the item."""


class DockerConfigConfig(Schema):
    """Credentials for a container registry."""

    registry: Registry
    """The registry, such as registry.shop.test:5000, or https://index.docker.io/v1/ for Docker Hub."""
    username: Username
    """The name of the user at the registry."""
    password_from: ValueRef
    """The other item of data that is the password."""


class DockerConfig(Generator[DockerConfigConfig]):
    """Writes another value in the format of ~/.docker/config.json; it has no secret of its own."""

    kind = "dockerConfig"
    Config = DockerConfigConfig
    outputs = (_CONFIG,)

    def generate(self, given: GeneratorContext) -> Outputs:
        document = {"auths": {self.config.registry: self._login(self._password(given))}}
        return {_CONFIG: Value(orjson.dumps(document))}

    def accepts(self, outputs: Outputs) -> bool:
        """Check only the form: when the password's item is rotated, this one is rotated with it."""
        if outputs.keys() != {_CONFIG}:
            return False
        login = _login_in(outputs[_CONFIG], self.config.registry)
        password = login.get(_PASSWORD)
        return isinstance(password, str) and login.items() >= self._login(password).items()

    def strength(self) -> None:
        return None

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({self.config.password_from.name})

    def _login(self, password: str) -> dict[str, str]:
        pair = f"{self.config.username}:{password}"
        return {
            "username": self.config.username,
            _PASSWORD: password,
            "auth": base64.b64encode(pair.encode()).decode("ascii"),
        }

    def _password(self, given: GeneratorContext) -> str:
        name = self.config.password_from.name
        outputs = given.values[name]
        password = outputs.get(VALUE) or outputs.get(_PASSWORD)
        if password is None:
            raise Stalled(
                ErrorReason.INVALID_GENERATOR,
                f"passwordFrom names {name!r}, which is not a password; write the name of one",
            )
        try:
            return password.reveal().decode()
        except UnicodeDecodeError:
            pass
        # Raised outside the handler, because the error quotes the value.
        raise Stalled(
            ErrorReason.INVALID_GENERATOR,
            f"passwordFrom names {name!r}, which is not text; write the name of a password",
        )


def _login_in(config: Value, registry: str) -> Mapping[str, Any]:
    """Return the only entry of a configuration; empty for anything else."""
    try:
        document = orjson.loads(config.reveal())
    except orjson.JSONDecodeError:
        return {}
    match document:
        case {"auths": {**auths}} if auths.keys() == {registry} and document.keys() == {"auths"}:
            login = auths[registry]
            return login if isinstance(login, dict) else {}
    return {}
