"""Checks Pod Security and admission policies of the operator's namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from keyturn.kube import errors, paths

from .point import Point

if TYPE_CHECKING:
    from keyturn.kube.client import Api

    from .rights import Account

_REPORTS: Final = "keyturn-reports"
_OF_THE_ACCOUNT: Final = {_REPORTS: "manifests/base/operator/policy.yaml"} | {
    f"keyturn-own-{what}": f"manifests/base/own-account/{what}.yaml"
    for what in ("evictions", "objects", "pods", "rollouts", "secrets", "tokens", "workloads")
}
_OF_AUTHORS: Final = {
    "keyturn-authors": "manifests/base/authors/managedsecrets.yaml",
    "keyturn-author-rollouts": "manifests/base/authors/rollouts.yaml",
    "keyturn-emergency-authors": "manifests/base/authors/emergencies.yaml",
    "keyturn-author-sources": "manifests/base/authors/sources.yaml",
    "keyturn-store-authors": "manifests/base/authors/stores.yaml",
    "keyturn-target-authors": "manifests/base/authors/targets.yaml",
}
POLICIES: Final = _OF_THE_ACCOUNT | _OF_AUTHORS
"""ValidatingAdmissionPolicies that restrict what RBAC cannot; all but that of reports are optional."""
_ENFORCED: Final = "pod-security.kubernetes.io/enforce"
_BEST: Final = "restricted"


async def security_point(api: Api, namespace: str) -> Point:
    """Check the Pod Security level of the namespace.

    Raises:
        ApiError: The read failed.
    """
    name = "pod-security"
    try:
        body = await api.get(paths.namespace(namespace), metadata_only=True)
    except errors.NotFound:
        advice = (
            f"install Keyturn, or name its namespace: keyturn check --namespace NAME (looked at {namespace})"
        )
        return Point.failed(name, f"there is no namespace {namespace}", advice)
    level = (body["metadata"].get("labels") or {}).get(_ENFORCED, "")
    if level == _BEST:
        return Point.ok(name, f"namespace {namespace} enforces {_BEST}")
    advice = f"kubectl label namespace {namespace} {_ENFORCED}={_BEST} --overwrite"
    return Point.warn(name, f"namespace {namespace} enforces {level or 'nothing'}", advice)


async def policies_point(api: Api, account: Account) -> Point:
    """Check the admission policies and their bindings.

    Raises:
        ApiError: A read failed.
    """
    flaws = {name: flaw for name in POLICIES if (flaw := await _flaw(api, name, account))}
    if not flaws:
        return Point.ok("policies", f"in force: {', '.join(POLICIES)}")
    advice = "kubectl apply " + " ".join(f"-f {POLICIES[name]}" for name in flaws)
    verdict = Point.failed if _REPORTS in flaws else Point.warn
    return verdict("policies", "; ".join(flaws.values()), advice)


async def _flaw(api: Api, name: str, account: Account) -> str:
    try:
        policy = await api.get(paths.admission_policy(name))
        binding = await api.get(paths.admission_binding(name))
    except errors.NotFound as error:
        return f"{paths.resource(error.path).partition('/')[0]} {name} is not installed"
    if policy["spec"].get("failurePolicy", "Fail") != "Fail" or not _denies(binding["spec"], name):
        return f"{name} does not deny"
    # A policy that names an account of another namespace has no effect.
    if name in _OF_THE_ACCOUNT and not any(
        account.user in one["expression"] for one in policy["spec"].get("matchConditions", ())
    ):
        return f"{name} is not about {account.user}"
    return ""


def _denies(binding: dict[str, Any], name: str) -> bool:
    return binding.get("policyName") == name and "Deny" in binding.get("validationActions", ())
