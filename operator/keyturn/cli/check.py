"""Runs the checks of `keyturn check` in order, and prints the results."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from keyturn.installation.checks import Point, Result, deployment, election, rights, schemas
from keyturn.installation.checks.deployment import Account, Deployed
from keyturn.installation.checks.rights import Feature, Place, Right
from keyturn.kube import errors, paths
from keyturn.kube.client import Api
from keyturn.kube.secret_informer import SourceKind
from keyturn.runtime import build

from .options import Output
from .printing import print_data, print_lines
from .run_command import run_command

_ACCOUNT = "keyturn"
_RESULT, _NAME = 8, 15
_Answer = TypeVar("_Answer")


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
    """Run all checks in sequence."""
    server = await _of_server(api)
    crds, _ = await _read("crds", schemas.read(api), lambda found: schemas.points_of(schemas.compared(found)))
    security, _ = await _read("pod-security", deployment.security_point(api, namespace), _alone)
    pods, deployed = await _read(
        "deployment", deployment.find(api, namespace), lambda found: [deployment.point_of(found, namespace)]
    )
    account = deployed.account if deployed else Account(namespace, _ACCOUNT)
    place = _place(deployed, namespace)
    lease, elected = await _read(
        "lease", election.look(api, place.own), lambda found: [election.leader_point(found, place.own)]
    )
    operator = election.operator_point(elected)
    required, _ = await _read("rights", _rights(api, list(rights.rights_of(place)), account), list)
    policies, _ = await _read("policies", deployment.policies_point(api, account), _alone)
    return [*server, *crds, *security, *pods, *lease, operator, *required, *policies]


async def _read(
    name: str, asking: Awaitable[_Answer], points_of: Callable[[_Answer], list[Point]]
) -> tuple[list[Point], _Answer | None]:
    """Return the points of an answer with the answer, or a point that says why there is none."""
    try:
        answer = await asking
    except errors.ApiError as error:
        return [_unknown(name, error)], None
    return points_of(answer), answer


def _alone(point: Point) -> list[Point]:
    return [point]


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


async def _rights(api: Api, asked: list[Right], account: Account) -> list[Point]:
    """Check permissions: of the caller if that is the operator, otherwise of the operator's account."""
    is_us = await rights.caller(api) == account.user
    missing = await rights.missing(api, asked, None if is_us else account)
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
