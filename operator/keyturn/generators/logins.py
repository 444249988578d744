"""Generators basicAuth and dockerConfig: a user name with a password, for a server or a registry."""

import base64
import re
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
import pydantic

from keyturn.api.base import Schema, Spelled, rules
from keyturn.core.errors import Stalled
from keyturn.core.policy.rules import LEAST_LENGTH, Strength
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.items import VALUE
from keyturn.core.value import Value

from .base import Generator, GeneratorContext, Outputs
from .password import Password, PasswordConfig

Username = Annotated[
    str,
    Spelled(
        r"^[!-9;-~]+$",
        "a user name has printable ASCII characters without blanks and colons; write one of these",
        128,
    ),
]


_MAX_LENGTH = 72  # bcrypt reads no more
_ABSENT = Value(b"")
_COST = 10  # the password is random and cannot be guessed; every request pays for the hash


_Username = Annotated[
    str,
    Spelled(
        r'^[!"$-9;-~][!-9;-~]*$',  # a line that begins with # is a comment for servers
        "a user name has printable ASCII characters without blanks and colons, and does not begin with #;"
        " write such a name",
        128,
    ),
]


class BasicAuthConfig(Schema):
    """A user name and a random password, for HTTP basic authentication."""

    username: _Username = "admin"
    """The name of the user; admin if absent."""
    length: int = pydantic.Field(
        LEAST_LENGTH,
        ge=0,
        le=_MAX_LENGTH,
        json_schema_extra=rules(
            (
                f"self >= {LEAST_LENGTH}",
                f"a password needs at least {LEAST_LENGTH} characters; write length: {LEAST_LENGTH} or more",
            )
        ),
    )
    """How many characters the password has, at most 72; 32 if absent."""


class BasicAuth(Generator[BasicAuthConfig]):
    """Generates a password and its bcrypt hash."""

    kind = "basicAuth"
    Config = BasicAuthConfig
    outputs = ("username", "password", "auth")
    public = frozenset({"username"})

    def __init__(self, config: BasicAuthConfig) -> None:
        super().__init__(config)
        self._password = Password(PasswordConfig(length=config.length))

    def generate(self, given: GeneratorContext) -> Outputs:  # noqa: ARG002  # it needs no other value
        password = self._password.draw()
        return {"username": Value(self._username), "password": password, "auth": self._line_of(password)}

    def accepts(self, outputs: Outputs) -> bool:
        """Check only the form of the hash, because comparing it takes as long as creating it."""
        if outputs.keys() != set(self.outputs):
            return False
        return self._belongs(outputs) and self._password.fits(outputs["password"])

    def adopted(self, found: Outputs) -> Outputs | None:
        """Return a password of any form, and its hash if that is missing."""
        password = found.get("password", _ABSENT)
        if not password.reveal() or ("auth" not in found and len(password.reveal()) > _MAX_LENGTH):
            return None
        auth = found.get("auth") or self._line_of(password)
        outputs = {
            "username": found.get("username", Value(self._username)),
            "password": password,
            "auth": auth,
        }
        return outputs if self._belongs(outputs) else None

    def _belongs(self, outputs: Outputs) -> bool:
        """Whether user name and hash are those of the settings."""
        line = rb"%b:\$2[aby]\$[0-3][0-9]\$[./A-Za-z0-9]{53}\n?" % re.escape(self._username)
        is_line = re.fullmatch(line, outputs["auth"].reveal()) is not None
        return outputs["username"].reveal() == self._username and is_line

    def _line_of(self, password: Value) -> Value:
        import bcrypt  # noqa: PLC0415  # on first use: most objects have no such value

        # $2y$ and $2b$ are the same hash; htpasswd writes $2y$, and every server accepts it.
        salt = bcrypt.gensalt(_COST).replace(b"$2b$", b"$2y$")
        return Value(b":".join((self._username, bcrypt.hashpw(password.reveal(), salt))))

    def strength(self) -> Strength:
        return self._password.strength()

    def remedy(self) -> str:
        return self._password.remedy()

    @property
    def is_slow(self) -> bool:
        return True

    @property
    def _username(self) -> bytes:
        return self.config.username.encode("ascii")


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
