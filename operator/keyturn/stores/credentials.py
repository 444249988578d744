"""Reads the keys of Secrets and ConfigMaps that a store's settings refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from keyturn.core.labels import UNREADABLE_TYPES
from keyturn.core.value import Value
from keyturn.kube import errors as api_errors
from keyturn.kube import paths

from .providers import RemoteValue
from .providers.errors import Refused, Unauthorized, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from keyturn.kube.client import Api
    from keyturn.kube.wire import Body

    from .providers import Reference

LOGIN_NOT_FOUND: Final = "LoginNotFound"

_SECRET: Final = "Secret"  # noqa: S105  # a kind


class Credentials(NamedTuple):
    """The referenced values, and the resource versions that show a change."""

    referred: Mapping[Reference, RemoteValue]
    versions: frozenset[str]


async def look_at(needs: Iterable[Reference], namespace: str, api: Api) -> Credentials:
    """Read all references in `namespace`; keep only the keys that are named.

    Raises:
        Unauthorized: An object or one of its keys does not exist.
        Refused: Its type may not be used as a credential.
        Unreachable: The API server did not answer.
    """
    bodies: dict[tuple[str, str], Body] = {}
    referred: dict[Reference, RemoteValue] = {}
    for reference in needs:
        at = (reference.kind, reference.name)
        if at not in bodies:
            bodies[at] = await _read(reference, namespace, api)
        referred[reference] = _found(reference, namespace, bodies[at])
    return Credentials(referred, frozenset(_version(body) for body in bodies.values()))


async def _read(reference: Reference, namespace: str, api: Api) -> Body:
    path = paths.secret if reference.kind == _SECRET else paths.config_map
    try:
        return await api.get(path(namespace, reference.name))
    except api_errors.NotFound:
        meant: Exception = Unauthorized(
            LOGIN_NOT_FOUND,
            f"there is no {reference.kind} {reference.name!r} in the namespace {namespace!r}; create it with"
            f" the key {reference.key!r}",
        )
    except api_errors.Forbidden:
        meant = Unauthorized(
            LOGIN_NOT_FOUND,
            f"the operator may not read the {reference.kind} {reference.name!r} in the namespace {namespace!r};"
            " give it the right, or write a SecretStore",
        )
    except api_errors.ApiError as error:
        meant = Unreachable("ApiServerUnavailable", retry_after=error.retry_after)
    raise meant


def _found(reference: Reference, namespace: str, body: Body) -> RemoteValue:
    if body.get("type") in UNREADABLE_TYPES:
        raise Refused(
            "NotForLogin",
            f"the Secret {reference.name!r} is an account's token or the operator's own record; name another",
        )
    value = _value(reference, body)
    if value is None:
        raise Unauthorized(
            LOGIN_NOT_FOUND,
            f"the {reference.kind} {reference.name!r} in the namespace {namespace!r} has no key"
            f" {reference.key!r}; add it",
        )
    return RemoteValue(value, body["metadata"]["resourceVersion"])


def _value(reference: Reference, body: Mapping[str, Any]) -> Value | None:
    data, binary = body.get("data") or {}, body.get("binaryData") or {}
    if reference.key in binary:
        return Value.from_base64(binary[reference.key])
    if reference.key not in data:
        return None
    text = data[reference.key]
    return Value.from_base64(text) if reference.kind == _SECRET else Value.of_text(text)


def _version(body: Body) -> str:
    return f"{body['metadata']['uid']}-{body['metadata']['resourceVersion']}"
