"""Finds and prints versions of a cluster."""

from dataclasses import dataclass
from typing import Any

from keyturn import __version__
from keyturn.core.times import NOTHING
from keyturn.installation.checks import deployment, election
from keyturn.kube import errors, paths
from keyturn.kube.client import Api
from keyturn.kube.leader_election import Holder
from keyturn.runtime import build

from .options import Output
from .printing import print_data, print_lines


@dataclass(frozen=True, slots=True)
class ServerVersion:
    """Versions of a cluster."""

    api_server: str
    namespace: str
    leader: Holder | None
    image: str | None
    """Image of the operator's Deployment; None if it is missing or may not be read."""
    unread: str = ""
    """What may not be read of it, if anything."""


async def find_versions(api: Api, namespace: str) -> ServerVersion:
    """Ask the API server, and read Lease and Deployment if permitted."""
    version = await election.version_of(api)
    leader = image = None
    unread = ""
    try:
        elected = await election.look(api, namespace)
        leader = elected.holder if elected else None
        deployed = await deployment.find(api, namespace)
        image = deployed.image if deployed else None
    except errors.Forbidden as error:
        unread = f"you may not {error.verb} {paths.described(error.path)}"
    return ServerVersion(version, namespace, leader, image, unread)


def show(there: ServerVersion | None, output: Output | None) -> None:
    """Print the versions; None without a cluster."""
    if output:
        client = {"version": __version__, "commit": build.commit() or None}
        print_data({"client": client, **_document(there)}, output)
        return
    print_lines(f"Client:      {build.version()}")
    if there is not None:
        print_lines(f"Operator:    {_operator(there)}", f"API server:  {there.api_server}")


def _operator(there: ServerVersion) -> str:
    leader, image = there.leader, f", image {there.image}" if there.image else ""
    if leader is None:
        cause = there.unread or f"no replica leads in namespace {there.namespace}"
        return f"unknown: {cause}{image}"
    version = leader.version or "of unknown version, older than this"
    commit = f" ({leader.commit})" if leader.commit else ""
    return f"{version}{commit}, led by {leader.identity or NOTHING} in namespace {there.namespace}{image}"


def _document(there: ServerVersion | None) -> dict[str, Any]:
    if there is None:
        return {}
    leader = there.leader
    operator = {
        "namespace": there.namespace,
        "leader": leader.identity if leader else None,
        "version": (leader.version or None) if leader else None,
        "commit": (leader.commit or None) if leader else None,
        "image": there.image,
        "unread": there.unread or None,
    }
    return {"operator": operator, "apiServer": {"version": there.api_server}}
