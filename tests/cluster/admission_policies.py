"""What a test has the API server itself refuse in one namespace: by an admission policy, or by a webhook."""

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sandbox.harness import eventually
from tests.support.objects import Body, Objects
from tests.support.webhook import Webhook

_OPERATOR = "system:serviceaccount:keyturn-system:keyturn"


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy and its binding; both have the name of the namespace in them."""

    objects: Objects
    namespace: str

    @property
    def name(self) -> str:
        return f"refusals.{self.namespace}"

    def refuse(
        self, *resources: str, unless: str, reason: str | None = None, message: str = "a test says so"
    ) -> None:
        """Refuse what the operator writes unless an expression holds, from now on.

        Without a reason the API server answers as it does by default: Invalid, which is 422.
        """
        expression = (
            f"object.kind == 'ConfigMap' ? false : request.userInfo.username != '{_OPERATOR}' || ({unless})"
        )
        validation = {"expression": expression, "message": message}
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
            lambda: self.objects.would_create(self.namespace, _probe()) is None, "the policy is in force"
        )

    def lift(self) -> None:
        """Refuse nothing any more."""
        for kind in ("ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"):
            if self.objects.find(kind, "", self.name):
                self.objects.delete(kind, "", self.name)
        eventually(
            lambda: self.objects.would_create(self.namespace, _probe()) is not None, "the policy is gone"
        )

    def _create(self, kind: str, spec: Body) -> None:
        self.objects.create("", {"kind": kind, "metadata": {"name": self.name}, "spec": spec})


@contextmanager
def asked(hook: Webhook, objects: Objects, namespace: str, kind: str, *resources: str) -> Iterator[None]:
    """Have the API server ask a webhook about writes in a namespace, as a configuration of this kind does."""
    name = f"refusals.{namespace}"
    one = {
        "name": "refusals.keyturn.test",
        "clientConfig": {"url": hook.url, "caBundle": b64encode(hook.authority).decode()},
        "rules": [_rule("", "configmaps"), *map(_of, resources)],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 5,
    }
    objects.create("", {"kind": kind, "metadata": {"name": name}, "webhooks": [one]})

    def is_asked() -> bool:
        objects.would_create(namespace, _probe())
        return bool(hook.asked)

    try:
        eventually(is_asked, "the webhook is asked")
        yield
    finally:
        objects.delete(kind, "", name)


def _probe() -> Body:
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
