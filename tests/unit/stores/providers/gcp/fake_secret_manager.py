"""Google Cloud Secret Manager as its REST reference has it: secrets, versions, aliases, checksums and who may ask."""

import base64
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import google_crc32c
import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

NAMES = (
    "secretmanager.test",
    "secretmanager.googleapis.com",
    "secretmanager.europe-west3.rep.googleapis.com",
    "sts.googleapis.com",
    "iamcredentials.googleapis.com",
)
"""Whom a server of ours has a certificate for."""
AUDIENCE = "https://secretmanager.googleapis.com/"
_PARENT = re.compile(r"projects/[a-z0-9-]+(/locations/[a-z0-9-]+)?")
_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_LARGEST = 65536
_LONGEST_LIFE = 3600
_NUMBER_OF_PROJECT = "4711"

_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""Source: google/rpc/code.proto."""


class Refusal(Exception):  # noqa: N818  # as the status that it becomes
    """What the service does not do."""

    def __init__(self, status: str, *details: Any, text: str = "no") -> None:
        super().__init__(text)
        self.code = _STATUSES[status]
        self.body = {"code": self.code, "message": text, "status": status, "details": details}

    @property
    def answer(self) -> web.Response:
        return web.json_response({"error": self.body}, status=self.code)


@dataclass
class Version:
    data: bytes
    state: str = "ENABLED"


@dataclass
class Secret:
    created: float
    labels: dict[str, str]
    replication: str
    versions: list[Version] = field(default_factory=list)
    aliases: dict[str, int] = field(default_factory=dict)


@dataclass
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]


class Service:
    """The state, its back door, and the calls as they come over the wire."""

    def __init__(self) -> None:
        self.secrets: dict[str, Secret] = {}
        self.accounts: dict[str, tuple[str, RSAPublicKey]] = {}
        """By the ID of their keys."""
        self.tokens: set[str] = set()
        """Of people who came through a workload identity pool."""
        self.asked: list[Asked] = []
        self.instead: Callable[[], Awaitable[web.Response | None]] | None = None
        """Answers in place of the service, or returns None to let it answer."""

    # The back door

    def seed(self, name: str, *contents: bytes, age: float = 3600.0) -> Secret:
        made = Secret(time.time() - age, {}, "automatic")
        secret = self.secrets.setdefault(name, made)
        secret.versions += [Version(content) for content in contents]
        return secret

    # The calls

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(Asked(request.method, request.path, dict(request.headers)))
        if self.instead is not None and (given := await self.instead()) is not None:
            return given
        body = json.loads(await request.text() or "{}")
        try:
            self._let_in(request.headers)
            return web.json_response(self._call(request.method, request.path, request.query, body))
        except Refusal as refusal:
            return refusal.answer

    def _call(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Any:
        name, _, verb = path.removeprefix("/v1/").partition(":")
        match (method, verb, *name.split("/")[-2:]):
            case ("POST", "", _, "secrets"):
                return self._create(name.removesuffix("/secrets"), query["secretId"], body)
            case ("POST", "addVersion", *_):
                return self._add_version(name, body["payload"])
            case ("GET", "access", "versions", version):
                return self._access(name.removesuffix(f"/versions/{version}"), version)
            case ("GET", "", _, "versions"):
                return self._versions(name.removesuffix("/versions"), int(query["pageSize"]))
            case ("GET", "", "secrets", _):
                return self._get(name)
            case ("DELETE", "", "secrets", _):
                self._secret(name)
                del self.secrets[name]
                return {}
        raise Refusal("UNIMPLEMENTED")

    def _create(self, parent: str, key: str, body: Any) -> Any:
        replication = "".join(body.get("replication", {}))
        if not _PARENT.fullmatch(parent) or not _ID.fullmatch(key):
            raise Refusal("INVALID_ARGUMENT")
        if ("/locations/" in parent) == bool(replication):
            raise Refusal("INVALID_ARGUMENT")
        name = f"{parent}/secrets/{key}"
        if name in self.secrets:
            raise Refusal("ALREADY_EXISTS")
        self.secrets[name] = Secret(time.time(), dict(body["labels"]), replication)
        return self._get(name)

    def _get(self, name: str) -> Any:
        found = self._secret(name)
        created = datetime.fromtimestamp(found.created, UTC).isoformat().replace("+00:00", "123Z")
        return {"name": _official(name), "labels": found.labels, "createTime": created}

    def _versions(self, name: str, size: int) -> Any:
        versions = self._secret(name).versions
        newest_first = [
            {"name": f"{_official(name)}/versions/{number}", "state": version.state}
            for number, version in reversed(list(enumerate(versions, 1)))
        ]
        return {"versions": newest_first[:size]} if newest_first else {}

    def _add_version(self, name: str, payload: Any) -> Any:
        secret, data = self._secret(name), base64.b64decode(payload["data"])
        if not 0 < len(data) <= _LARGEST or int(payload["dataCrc32c"]) != google_crc32c.value(data):
            raise Refusal("INVALID_ARGUMENT")
        secret.versions.append(Version(data))
        return {"name": f"{_official(name)}/versions/{len(secret.versions)}", "state": "ENABLED"}

    def _access(self, name: str, asked: str) -> Any:
        secret = self._secret(name)
        number = len(secret.versions) if asked == "latest" else secret.aliases.get(asked, 0)
        number = int(asked) if asked.isdecimal() else number
        if not 0 < number <= len(secret.versions):
            raise Refusal("NOT_FOUND")
        version, official = secret.versions[number - 1], f"{_official(name)}/versions/{number}"
        if version.state != "ENABLED":
            raise Refusal(
                "FAILED_PRECONDITION", text=f"Secret Version [{official}] is in {version.state} state."
            )
        return accessed(official, version.data)

    def _secret(self, name: str) -> Secret:
        if name not in self.secrets:
            raise Refusal("NOT_FOUND")
        return self.secrets[name]

    # Who asks

    def _let_in(self, headers: Mapping[str, str]) -> None:
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        if token in self.tokens:
            return
        try:
            email, key = self.accounts[jwt.get_unverified_header(token)["kid"]]
            claims = jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=email)
        except (jwt.PyJWTError, KeyError):
            raise Refusal("UNAUTHENTICATED") from None
        if claims["sub"] != email or claims["exp"] - claims["iat"] > _LONGEST_LIFE:
            raise Refusal("UNAUTHENTICATED")


def _official(name: str) -> str:
    """Write a name as the service does, with the project's number."""
    return re.sub(r"^projects/[^/]+", f"projects/{_NUMBER_OF_PROJECT}", name)


def accessed(name: str, data: bytes, checksum: int | None = None) -> Any:
    """Write an answer with a value; its checksum fits unless another one is given."""
    fits = str(google_crc32c.value(data) if checksum is None else checksum)
    return {"name": name, "payload": {"data": base64.b64encode(data).decode(), "dataCrc32c": fits}}
