"""A real ValidatingAdmissionPolicy of a test, which refuses some of the operator's writes in one namespace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.kubectl import eventually

if TYPE_CHECKING:
    from tests.support.objects import Body, Objects

__all__ = ["Policy", "probe"]

_OPERATOR = "system:serviceaccount:keyturn-system:keyturn"


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy and its binding; both have the name of the namespace in them."""

    objects: Objects
    namespace: str

    @property
    def name(self) -> str:
        return f"refusals.{self.namespace}"

    def refuse(self, *resources: str, unless: str, reason: str | None = None) -> None:
        """Refuse what the operator writes unless an expression holds, from now on.

        Without a reason the API server answers as it does by default: Invalid, which is 422.
        """
        expression = (
            f"object.kind == 'ConfigMap' ? false : request.userInfo.username != '{_OPERATOR}' || ({unless})"
        )
        validation = {"expression": expression, "message": "a test says so"}
        self._create(
            "ValidatingAdmissionPolicy",
            {
                "failurePolicy": "Fail",
                "matchConstraints": {"resourceRules": [_rule("", "configmaps"), *map(_of, resources)]},
                "validations": [validation | ({"reason": reason} if reason else {})],
            },
        )
        here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}}}
        self._create(
            "ValidatingAdmissionPolicyBinding",
            {"policyName": self.name, "validationActions": ["Deny"], "matchResources": here},
        )
        eventually(
            lambda: self.objects.would_create(self.namespace, probe()) is None, "the policy is in force"
        )

    def lift(self) -> None:
        """Refuse nothing any more."""
        for kind in ("ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"):
            if self.objects.find(kind, "", self.name):
                self.objects.delete(kind, "", self.name)
        eventually(
            lambda: self.objects.would_create(self.namespace, probe()) is not None, "the policy is gone"
        )

    def _create(self, kind: str, spec: Body) -> None:
        self.objects.create("", {"kind": kind, "metadata": {"name": self.name}, "spec": spec})


def probe() -> Body:
    """Make what every policy refuses, and every webhook is asked about, so that its coming is seen."""
    return {"kind": "ConfigMap", "metadata": {"name": "probe"}}


def _of(resource: str) -> Body:
    return _rule("apps" if resource == "deployments" else "", resource)


def _rule(group: str, resource: str) -> Body:
    return {
        "apiGroups": [group],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": [resource],
    }
