"""Google Cloud Secret Manager as its documentation has it: secrets, versions, aliases, checksums and who may ask."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import google_crc32c
import grpc
import jwt
from google.cloud import secretmanager_v1 as sm
from google.protobuf import empty_pb2, timestamp_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

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
_SERVICE = "google.cloud.secretmanager.v1.SecretManagerService"
_PARENT = re.compile(r"projects/[a-z0-9-]+(/locations/[a-z0-9-]+)?")
_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_LARGEST = 65536
_LONGEST_LIFE = 3600
_NUMBER_OF_PROJECT = "4711"

Status = grpc.StatusCode
State = sm.SecretVersion.State


class Refusal(Exception):  # noqa: N818  # as the status that it becomes
    """What the service does not do."""

    def __init__(
        self, status: grpc.StatusCode, trailing: tuple[tuple[str, bytes], ...] = (), text: str = "no"
    ) -> None:
        super().__init__(text)
        self.status = status
        self.trailing = trailing
        self.text = text


@dataclass
class Version:
    data: bytes
    state: int = State.ENABLED


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
    metadata: Mapping[str, str]
    peer: str


class Service:
    """The state, its back door, and the calls as they come over the wire."""

    def __init__(self) -> None:
        self.secrets: dict[str, Secret] = {}
        self.accounts: dict[str, tuple[str, RSAPublicKey]] = {}
        """By the ID of their keys."""
        self.tokens: set[str] = set()
        """Of people who came through a workload identity pool."""
        self.asked: list[Asked] = []
        self.instead: Callable[[str, Any], Any] | None = None
        """Answers in place of the service, or returns None to let it answer."""

    # The back door

    def seed(self, name: str, *contents: bytes, age: float = 3600.0) -> Secret:
        made = Secret(time.time() - age, {}, "automatic")
        secret = self.secrets.setdefault(name, made)
        secret.versions += [Version(content) for content in contents]
        return secret

    # The calls

    def create_secret(self, request: sm.CreateSecretRequest) -> sm.Secret:
        is_regional = "/locations/" in request.parent
        replication = sm.Secret.pb(request.secret).replication.WhichOneof("replication") or ""
        if not _PARENT.fullmatch(request.parent) or not _ID.fullmatch(request.secret_id):
            raise Refusal(Status.INVALID_ARGUMENT)
        if is_regional == bool(replication):
            raise Refusal(Status.INVALID_ARGUMENT)
        name = f"{request.parent}/secrets/{request.secret_id}"
        if name in self.secrets:
            raise Refusal(Status.ALREADY_EXISTS)
        self.secrets[name] = Secret(time.time(), dict(request.secret.labels), replication)
        return self.get_secret(sm.GetSecretRequest(name=name))

    def get_secret(self, request: sm.GetSecretRequest) -> sm.Secret:
        found = self._secret(request.name)
        created = timestamp_pb2.Timestamp()
        created.FromNanoseconds(int(found.created * 1e9))
        return sm.Secret(name=_official(request.name), labels=found.labels, create_time=created)

    def delete_secret(self, request: sm.DeleteSecretRequest) -> empty_pb2.Empty:
        self._secret(request.name)
        del self.secrets[request.name]
        return empty_pb2.Empty()

    def list_secret_versions(self, request: sm.ListSecretVersionsRequest) -> sm.ListSecretVersionsResponse:
        versions = self._secret(request.parent).versions
        newest_first = [
            sm.SecretVersion(name=f"{_official(request.parent)}/versions/{number}", state=version.state)
            for number, version in reversed(list(enumerate(versions, 1)))
        ]
        return sm.ListSecretVersionsResponse(versions=newest_first[: request.page_size or None])

    def add_secret_version(self, request: sm.AddSecretVersionRequest) -> sm.SecretVersion:
        secret, payload = self._secret(request.parent), request.payload
        if not 0 < len(payload.data) <= _LARGEST:
            raise Refusal(Status.INVALID_ARGUMENT)
        if "data_crc32c" not in payload or payload.data_crc32c != google_crc32c.value(payload.data):
            raise Refusal(Status.INVALID_ARGUMENT)
        secret.versions.append(Version(payload.data))
        name = f"{_official(request.parent)}/versions/{len(secret.versions)}"
        return sm.SecretVersion(name=name, state=State.ENABLED)

    def access_secret_version(self, request: sm.AccessSecretVersionRequest) -> sm.AccessSecretVersionResponse:
        name, _, asked = request.name.partition("/versions/")
        secret = self._secret(name)
        number = len(secret.versions) if asked == "latest" else secret.aliases.get(asked, 0)
        number = int(asked) if asked.isdecimal() else number
        if not 0 < number <= len(secret.versions):
            raise Refusal(Status.NOT_FOUND)
        version = secret.versions[number - 1]
        if version.state != State.ENABLED:
            official = f"{_official(name)}/versions/{number}"
            text = f"Secret Version [{official}] is in {State(version.state).name} state."
            raise Refusal(Status.FAILED_PRECONDITION, text=text)
        payload = sm.SecretPayload(data=version.data, data_crc32c=google_crc32c.value(version.data))
        found = f"{_official(name)}/versions/{number}"
        return sm.AccessSecretVersionResponse(name=found, payload=payload)

    def _secret(self, name: str) -> Secret:
        if name not in self.secrets:
            raise Refusal(Status.NOT_FOUND)
        return self.secrets[name]

    # Who asks

    def let_in(self, metadata: Mapping[str, str]) -> None:
        token = metadata.get("authorization", "").removeprefix("Bearer ")
        if token in self.tokens:
            return
        try:
            email, key = self.accounts[jwt.get_unverified_header(token)["kid"]]
            claims = jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=email)
        except (jwt.PyJWTError, KeyError):
            raise Refusal(Status.UNAUTHENTICATED) from None
        if claims["sub"] != email or claims["exp"] - claims["iat"] > _LONGEST_LIFE:
            raise Refusal(Status.UNAUTHENTICATED)


def _official(name: str) -> str:
    """Write a name as the service does, with the project's number."""
    return re.sub(r"^projects/[^/]+", f"projects/{_NUMBER_OF_PROJECT}", name)


# The wire


_METHODS: dict[str, tuple[Any, Any]] = {
    "AccessSecretVersion": (sm.AccessSecretVersionRequest, Service.access_secret_version),
    "AddSecretVersion": (sm.AddSecretVersionRequest, Service.add_secret_version),
    "CreateSecret": (sm.CreateSecretRequest, Service.create_secret),
    "DeleteSecret": (sm.DeleteSecretRequest, Service.delete_secret),
    "GetSecret": (sm.GetSecretRequest, Service.get_secret),
    "ListSecretVersions": (sm.ListSecretVersionsRequest, Service.list_secret_versions),
}


class _Calls(grpc.GenericRpcHandler):  # type: ignore[misc]  # gRPC ships no types
    def __init__(self, service: Service) -> None:
        self._service = service

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        of, _, method = details.method.lstrip("/").partition("/")
        if of != _SERVICE or method not in _METHODS:
            return None
        asked, _ = _METHODS[method]
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._answered(method, request, context),
            request_deserializer=asked.deserialize,
            response_serializer=_serialized,
        )

    def _answered(self, method: str, request: Any, context: grpc.ServicerContext) -> Any:
        metadata = dict(context.invocation_metadata())
        self._service.asked.append(Asked(method, metadata, context.peer()))
        try:
            if self._service.instead is not None:
                given = self._service.instead(method, request)
                if given is not None:
                    return given
            self._service.let_in(metadata)
            _, serve = _METHODS[method]
            return serve(self._service, request)
        except Refusal as refusal:
            context.set_trailing_metadata(refusal.trailing)
            context.abort(refusal.status, refusal.text)


def _serialized(answer: Any) -> bytes:
    if isinstance(answer, bytes):
        return answer
    is_plain = isinstance(answer, empty_pb2.Empty)
    written: bytes = answer.SerializeToString() if is_plain else type(answer).serialize(answer)
    return written


@contextmanager
def serving(service: Service, folder: Path | None) -> Iterator[int]:
    """Serve at a port of this machine, with the certificate in a folder or without any."""
    server = grpc.server(
        ThreadPoolExecutor(16),
        handlers=(_Calls(service),),
        options=[("grpc.so_reuseport", 0), ("grpc.max_send_message_length", -1)],
    )
    if folder is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        pair = ((folder / "tls.key").read_bytes(), (folder / "tls.crt").read_bytes())
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    try:
        yield port
    finally:
        server.stop(grace=None).wait()
