"""Checks that the pods of the operator's Deployment are ready, and what protects its namespace."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from keyturn.installation.checks import Point
from keyturn.kube import errors, paths
from keyturn.kube.client import Api

_NAME: Final = "keyturn"
_POINT: Final = "deployment"
_LABELS: Final = {"labelSelector": "app.kubernetes.io/name=keyturn"}


@dataclass(frozen=True, slots=True)
class Account:
    """A ServiceAccount with its user name."""

    namespace: str
    name: str

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{self.name}"

    @property
    def subject(self) -> dict[str, Any]:
        groups = [
            "system:serviceaccounts",
            f"system:serviceaccounts:{self.namespace}",
            "system:authenticated",
        ]
        return {"user": self.user, "groups": groups}


@dataclass(frozen=True, slots=True)
class Deployed:
    """State of the operator's Deployment."""

    replicas: int
    account: Account
    image: str
    args: tuple[str, ...]
    pods: tuple[dict[str, Any], ...]


async def find(api: Api, namespace: str) -> Deployed | None:
    """Read the Deployment and its pods; None if it does not exist."""
    try:
        body = await api.get(paths.workload("Deployment", namespace, _NAME))
    except errors.NotFound:
        return None
    pods = [pod async for page in api.pages(paths.pods(namespace), _LABELS) for pod in page.items]
    template = body["spec"]["template"]["spec"]
    container = next(
        (one for one in template["containers"] if one["name"] == _NAME), template["containers"][0]
    )
    return Deployed(
        int(body["spec"].get("replicas", 1)),
        Account(namespace, template.get("serviceAccountName") or "default"),
        container["image"],
        tuple(container.get("args", ())),
        tuple(pod for pod in pods if "deletionTimestamp" not in pod["metadata"]),
    )


def point_of(found: Deployed | None, namespace: str) -> Point:
    if found is None:
        advice = "install Keyturn, or name its namespace with --namespace; from a checkout there is none"
        return Point.warn(_POINT, f"there is no Deployment {_NAME} in namespace {namespace}", advice)
    if found.replicas == 0:
        advice = f"kubectl scale deployment {_NAME} -n {namespace} --replicas=2"
        return Point.warn(_POINT, "it is scaled to 0 replicas", advice)
    unready = [f"{pod['metadata']['name']}: {why}" for pod in found.pods if (why := _why_unready(pod))]
    ready = len(found.pods) - len(unready)
    if ready >= found.replicas and not unready:
        return Point.ok(_POINT, f"{ready} of {found.replicas} pods are ready, image {found.image}")
    said = "; ".join([f"{ready} of {found.replicas} pods are ready", *unready])
    advice = f"kubectl describe pods -n {namespace} -l app.kubernetes.io/name=keyturn, and kubectl logs of the same"
    return Point.warn(_POINT, said, advice) if ready else Point.failed(_POINT, said, advice)


def _why_unready(pod: dict[str, Any]) -> str:
    """Return why a pod is not ready, from its status; empty if it is."""
    conditions = {one["type"]: one for one in pod.get("status", {}).get("conditions", ())}
    if conditions.get("Ready", {}).get("status") == "True":
        return ""
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"{scheduled.get('reason', 'Unschedulable')}: {scheduled.get('message', 'no node takes it')}"
    if not pod.get("status", {}).get("containerStatuses"):
        return "no container is started yet"
    return ", ".join(_states(pod)) or "its container runs and /readyz does not answer with ok"


def _states(pod: dict[str, Any]) -> Iterator[str]:
    """Yield the states of containers by reason; their messages may quote a log."""
    for one in pod["status"].get("containerStatuses", ()):
        last = one.get("lastState", {}).get("terminated")
        ended = f", last ended with {last['reason']} ({last['exitCode']})" if last else ""
        for kind in ("waiting", "terminated"):
            if state := one.get("state", {}).get(kind):
                yield f"{state.get('reason', kind)} (image {one['image']}){ended}"


_REPORTS: Final = "keyturn-reports"
_WARNS: Final = "keyturn-author-warnings"
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
    _WARNS: "manifests/base/authors/warnings.yaml",
}
POLICIES: Final = _OF_THE_ACCOUNT | _OF_AUTHORS
"""ValidatingAdmissionPolicies that restrict what RBAC cannot; all but that of reports are optional."""
_ENFORCED: Final = "pod-security.kubernetes.io/enforce"
_BEST: Final = "restricted"


async def security_point(api: Api, namespace: str) -> Point:
    """Check the Pod Security level of the namespace."""
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
    """Check the admission policies and their bindings."""
    flaws = {name: flaw for name in POLICIES if (flaw := await _flaw(api, name, account))}
    if not flaws:
        return Point.ok("policies", f"in force: {', '.join(POLICIES)}")
    advice = "kubectl apply " + " ".join(f"-f {POLICIES[name]}" for name in flaws)
    verdict = Point.failed if _REPORTS in flaws else Point.warn
    return verdict("policies", "; ".join(flaws.values()), advice)


async def _flaw(api: Api, name: str, account: Account) -> str:
    try:
        policy = await api.get(f"{paths.POLICIES}/{name}")
        binding = await api.get(f"{paths.BINDINGS}/{name}")
    except errors.NotFound as error:
        return f"{paths.resource(error.path).partition('/')[0]} {name} is not installed"
    action, bound = "Warn" if name == _WARNS else "Deny", binding["spec"]
    acts = bound.get("policyName") == name and action in bound.get("validationActions", ())
    if policy["spec"].get("failurePolicy", "Fail") != "Fail" or not acts:
        return f"{name} does not {action.lower()}"
    # A policy that names an account of another namespace has no effect.
    if name in _OF_THE_ACCOUNT and not any(
        account.user in one["expression"] for one in policy["spec"].get("matchConditions", ())
    ):
        return f"{name} is not about {account.user}"
    return ""
