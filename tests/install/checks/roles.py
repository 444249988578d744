"""How a right of the operator is taken away for a while."""

import asyncio
import copy
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from keyturn.installation.checks.deployment import Account
from keyturn.installation.checks.rights import Right, missing
from keyturn.kube.client import Api

OWN = "keyturn-system"
ACCOUNT = Account(OWN, "keyturn")


@asynccontextmanager
async def without(right: Right, admin: Api) -> AsyncIterator[None]:
    """Take one verb on one resource out of every Role of the operator that gives it there, for a block."""
    changed = []
    for path in _roles(right):
        role = await admin.get(path)
        rules = [part for rule in role["rules"] for part in _split(rule, right)]
        if rules != role["rules"]:
            changed.append((path, role["rules"]))
            await admin.replace(path, {**role, "rules": rules})
    assert changed
    try:
        yield
    finally:
        for path, rules in changed:
            await admin.replace(path, {**await admin.get(path), "rules": rules})
        async with asyncio.timeout(20):
            while await missing(admin, [right], ACCOUNT):  # noqa: ASYNC110
                await asyncio.sleep(0.02)


def _roles(right: Right) -> list[str]:
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    # Every login may read classes, and so may the operator without its own Role.
    names = ("keyturn", "keyturn-classes", "keyturn-environments", "keyturn-class-reader")
    wide = [f"{rbac}/clusterroles/{name}" for name in names]
    own = [f"{rbac}/namespaces/{OWN}/roles/{name}" for name in ("keyturn-leader", "keyturn-logins")]
    return [*own, *wide] if right.namespace == OWN else wide


def _split(rule: dict[str, Any], right: Right) -> Iterator[dict[str, Any]]:
    """Leave one verb on one resource out of a rule."""
    if (
        right.group not in rule["apiGroups"]
        or right.resource not in rule["resources"]
        or right.verb not in rule["verbs"]
        or rule.get("resourceNames", [""]) != [right.name]
    ):
        yield rule
        return
    others = [resource for resource in rule["resources"] if resource != right.resource]
    verbs = [verb for verb in rule["verbs"] if verb != right.verb]
    if others:
        yield {**copy.deepcopy(rule), "resources": others}
    if verbs:
        yield {**copy.deepcopy(rule), "resources": [right.resource], "verbs": verbs}
