"""Runs the checks of `keyturn check` in order, and prints the results."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from keyturn.installation.checks import Point, Result, deployment, election, rights, schemas
from keyturn.installation.checks.rights import Account, Feature, Place
from keyturn.kube import config, errors, paths
from keyturn.kube.secret_informer import SourceKind
from keyturn.runtime import build

from .printing import print_data, print_lines
from .run_command import run_command

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Iterator, Sequence

    from keyturn.installation.checks.deployment import Deployed
    from keyturn.installation.checks.election import Election
    from keyturn.installation.checks.rights import Right
    from keyturn.kube.client import Api

    from .options import Output, Where

_ACCOUNT = "keyturn"
_RESULT, _NAME = 8, 15


def namespace_of(where: Where) -> str:
    """Return the operator's namespace: the named one, that of this pod, or the default."""
    return where.namespace or config.own_namespace()


async def before(api: Api, namespace: str) -> list[Point]:
    """Check what an installation needs."""
    found = await _of_server(api)
    asked = list(rights.to_install(namespace))
    try:
        missing = await rights.missing(api, asked, None)
    except errors.ApiError as error:
        return [*found, _unknown("install", error)]
    advice = "log in as a cluster admin"
    refused = [Point.failed("install", f"you may not {one}", advice) for one in missing]
    return [*found, *(refused or [Point.ok("install", f"you have all {len(asked)} required rights")])]


async def points(api: Api, namespace: str) -> list[Point]:
    """Run all checks in sequence.

    Raises:
        ApiError: The API server did not answer.
    """
    found = await _of_server(api)
    found += await _crds(api)
    found.append(await _await_point("pod-security", deployment.security_point(api, namespace)))
    deployed = await _deployment(api, namespace, found)
    account = deployed.account if deployed else Account(namespace, _ACCOUNT)
    place = _place(deployed, namespace)
    elected = await _lease(api, place, found)
    found.append(election.operator_point(elected))
    found += await _rights(api, rights.rights_of(place), account)
    found.append(await _await_point("policies", deployment.policies_point(api, account)))
    return found


def has_failed(found: Iterable[Point]) -> bool:
    return any(point.result is Result.FAILED for point in found)


def show(found: Sequence[Point], namespace: str, output: Output | None) -> None:
    """Print the results, with advice for each problem."""
    count = Counter(point.result for point in found)
    if output:
        worst = next(one for one in reversed(Result) if count[one])
        document = {
            "result": worst,
            "client": build.version(),
            "namespace": namespace,
            "points": [
                {"point": one.name, "result": one.result, "found": one.found, "advice": one.advice or None}
                for one in found
            ],
        }
        print_data(document, output)
        return
    print_lines(*(line for point in found for line in _lines(point)))
    print_lines("", ", ".join(f"{count[one]} {one}" for one in Result))


def _lines(point: Point) -> list[str]:
    lines = [f"{point.result:<{_RESULT}}{point.name:<{_NAME}}{point.found}"]
    return [*lines, f"{'':<{_RESULT + _NAME}}-> {point.advice}"] if point.advice else lines


# Checks


async def _of_server(api: Api) -> list[Point]:
    version = await election.version_of(api)
    return [election.api_server_point(version), election.clock_point(datetime.now(UTC), api.clock.now())]


async def _crds(api: Api) -> list[Point]:
    try:
        return schemas.points_of(schemas.compared(await schemas.read(api)))
    except errors.ApiError as error:
        return [_unknown("crds", error)]


async def _deployment(api: Api, namespace: str, found: list[Point]) -> Deployed | None:
    try:
        deployed = await deployment.find(api, namespace)
    except errors.ApiError as error:
        found.append(_unknown("deployment", error))
        return None
    found.append(deployment.point_of(deployed, namespace))
    return deployed


async def _lease(api: Api, place: Place, found: list[Point]) -> Election | None:
    try:
        elected = await election.look(api, place.own)
    except errors.ApiError as error:
        found.append(_unknown("lease", error))
        return None
    found.append(election.leader_point(elected, place.own))
    return elected


async def _rights(api: Api, desired: Iterable[Right], account: Account) -> list[Point]:
    """Check permissions: of the caller if that is the operator, otherwise of the operator's account."""
    asked = list(desired)
    try:
        is_us = await rights.caller(api) == account.user
        missing = await rights.missing(api, asked, None if is_us else account)
    except errors.ApiError as error:
        return [_unknown("rights", error)]
    if not missing:
        return [Point.ok("rights", f"{account.user} has all {len(asked)} required rights")]
    return list(_refused(asked, missing, account))


def _refused(asked: list[Right], missing: list[Right], account: Account) -> Iterator[Point]:
    """Yield a point for each missing permission, or for the manifest if all of its permissions are missing."""
    given, lacking = (Counter(one.manifest for one in some) for some in (asked, missing))
    for manifest, count in lacking.items():
        if count == given[manifest] and count > 1:
            said = f"{account.user} has none of the {count} rights in {manifest}"
            yield Point.failed("rights", said, _apply(manifest))
    for one in missing:
        if lacking[one.manifest] < given[one.manifest] or lacking[one.manifest] == 1:
            yield Point.failed("rights", f"{account.user} may not {one}", _apply(one.manifest))


def _apply(manifest: str) -> str:
    return f"apply {manifest} (Helm: upgrade the release)"


async def _await_point(name: str, asking: Awaitable[Point]) -> Point:
    try:
        return await asking
    except errors.ApiError as error:
        return _unknown(name, error)


def _unknown(name: str, error: errors.ApiError) -> Point:
    if isinstance(error, errors.Forbidden):
        verb = "create" if error.verb == "request" else error.verb
        return Point.unknown(name, f"you may not {verb} {paths.described(error.path)}")
    return Point.unknown(name, f"the API server answers {error.status or 'nothing'} ({error.reason})")


def _place(deployed: Deployed | None, namespace: str) -> Place:
    """Return namespaces and features of the operator from the arguments of its Deployment."""
    if deployed is None:
        return Place(namespace, None)
    arguments = [one for one in deployed.args if one != "run"]
    said = run_command.make_context("run", arguments, resilient_parsing=True).params
    chosen = {
        Feature.AUDIT: said.get("audit_port"),
        Feature.METRICS_AUTH: said.get("metrics_auth"),
        Feature.ENCRYPTION_PROOF: said.get("prove_encryption"),
    }
    return Place(
        said.get("lease_namespace") or namespace,
        tuple(said.get("namespaces") or ()) or None,
        frozenset(feature for feature, is_chosen in chosen.items() if is_chosen),
        SourceKind(said.get("secrets") or SourceKind.WATCH),
    )
