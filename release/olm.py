"""The bundle for the Operator Lifecycle Manager and OperatorHub, built from the manifests.

Source: Operator Lifecycle Manager, "Operator bundle" and "Packaging additional objects alongside an operator".
"""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from keyturn import __version__

from .errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["BESIDE", "BY_HAND", "Body", "bundle", "for_users", "installation", "write"]

Body: TypeAlias = dict[str, Any]

BESIDE = ("CustomResourceDefinition", "Service", "PodDisruptionBudget")
"""Kinds that stand in files of their own."""
BY_HAND = ("Namespace", "NetworkPolicy", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
"""Kinds that not every release of the manager installs; docs/install/olm.md says how they get there."""
_IDS = ("runAsUser", "runAsGroup", "fsGroup")
_AGGREGATED = "rbac.authorization.k8s.io/aggregate-to-"
_WITHIN = ("Deployment", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
"""Kinds that the ClusterServiceVersion itself stands for."""
_ROOT = Path(__file__).parents[1]
_FIRST_EXAMPLE = "auth-secrets.yaml"
_MODES = {"OwnNamespace": False, "SingleNamespace": False, "MultiNamespace": False, "AllNamespaces": True}
_OURS = "operators.operatorframework.io.bundle"
_ANNOTATIONS = {
    f"{_OURS}.mediatype.v1": "registry+v1",
    f"{_OURS}.manifests.v1": "manifests/",
    f"{_OURS}.metadata.v1": "metadata/",
    f"{_OURS}.package.v1": "keyturn",
    f"{_OURS}.channels.v1": "candidate",
    f"{_OURS}.channel.default.v1": "candidate",
}


def bundle(image: str) -> Mapping[str, str]:
    """Return the files of the bundle for an image."""
    bodies = installation()
    users = for_users(bodies)
    if left := {body["kind"] for body in bodies} - {*_WITHIN, *BESIDE, *BY_HAND}:
        raise ReleaseError(
            f"the bundle has no place for {', '.join(sorted(left))}; add the kind to release/olm.py"
        )
    own = [body for body in bodies if body not in users]
    files = {"manifests/keyturn.clusterserviceversion.yaml": _csv(own, image)}
    for body in [*_of(bodies, *BESIDE), *users]:
        body["metadata"].pop("namespace", None)  # it is where the operator is installed
        files[f"manifests/{body['metadata']['name']}.{body['kind'].lower()}.yaml"] = body
    files["metadata/annotations.yaml"] = {"annotations": _ANNOTATIONS}
    texts = {
        name: yaml.dump(body, Dumper=yaml.CSafeDumper, sort_keys=False, width=110)
        for name, body in files.items()
    }
    return {**texts, "bundle.Dockerfile": _dockerfile()}


def write(folder: Path, image: str) -> Path:
    """Write the bundle as a folder, in place of an older one."""
    files = bundle(image)
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def installation() -> list[Body]:
    """Return the objects of manifests/base."""
    beside = Path(sys.executable).with_name("kubectl")
    kubectl = str(beside) if beside.exists() else shutil.which("kubectl")
    if kubectl is None:
        raise ReleaseError("there is no kubectl, which puts the manifests together")
    command = [kubectl, "kustomize", str(_ROOT / "manifests" / "base")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return [body for body in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if body]


def for_users(bodies: Sequence[Body]) -> list[Body]:
    """Return the rights of users, which the manager installs as they are: the operator has none of them."""
    bindings = [body for body in _of(bodies, "ClusterRoleBinding") if not _has_account(body)]
    bound = {binding["roleRef"]["name"] for binding in bindings}
    roles = _of(bodies, "ClusterRole")
    return [role for role in roles if role["metadata"]["name"] in bound or _is_aggregated(role)] + bindings


def _has_account(binding: Body) -> bool:
    return any(subject["kind"] == "ServiceAccount" for subject in binding["subjects"])


def _is_aggregated(role: Body) -> bool:
    return any(label.startswith(_AGGREGATED) for label in role["metadata"]["labels"])


def _csv(bodies: Sequence[Body], image: str) -> Body:
    deployment = copy.deepcopy(_only(bodies, "Deployment"))
    pod = deployment["spec"]["template"]["spec"]
    # OpenShift gives each namespace its own IDs and refuses others; elsewhere the USER of the image counts, a number.
    pod["securityContext"] = {
        field: value for field, value in pod["securityContext"].items() if field not in _IDS
    }
    container = pod["containers"][0]
    container["image"] = image
    crds = _of(bodies, "CustomResourceDefinition")
    return {
        "apiVersion": "operators.coreos.com/v1alpha1",
        "kind": "ClusterServiceVersion",
        "metadata": {
            "name": f"keyturn.v{__version__}",
            "annotations": {
                "alm-examples": json.dumps(
                    [_example(crd["spec"]["names"]["kind"]) for crd in crds], indent=2
                ),
                "capabilities": "Deep Insights",
                "categories": "Security",
                "containerImage": container["image"],
                "description": _chart()["description"],
                "operatorframework.io/suggested-namespace": _only(bodies, "Namespace")["metadata"]["name"],
            },
        },
        "spec": {
            "displayName": "Keyturn",
            "description": _introduction(),
            "version": __version__,
            "minKubeVersion": _chart()["kubeVersion"].removeprefix(">=").removesuffix("-0"),
            "maturity": "alpha",
            "keywords": _chart()["keywords"],
            "provider": {"name": "The Keyturn authors"},
            "installModes": [{"type": mode, "supported": can} for mode, can in _MODES.items()],
            "customresourcedefinitions": {"owned": [_owned(crd) for crd in crds]},
            "install": {"strategy": "deployment", "spec": _install(bodies, deployment)},
        },
    }


def _install(bodies: Sequence[Body], deployment: Body) -> Body:
    account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
    return {
        "permissions": [{"serviceAccountName": account, "rules": _rules(bodies, "Role")}],
        "clusterPermissions": [{"serviceAccountName": account, "rules": _rules(bodies, "ClusterRole")}],
        "deployments": [
            {
                "name": deployment["metadata"]["name"],
                "label": deployment["metadata"]["labels"],
                "spec": deployment["spec"],
            }
        ],
    }


def _rules(bodies: Sequence[Body], kind: str) -> list[Body]:
    """Gather what the operator may do by the roles of a kind that are bound to it."""
    roles = {role["metadata"]["name"]: role["rules"] for role in _of(bodies, kind)}
    bound = [binding["roleRef"]["name"] for binding in _of(bodies, f"{kind}Binding")]
    if sorted(bound) != sorted(roles):
        raise ReleaseError(f"a {kind} of manifests/base is not bound once; the bundle knows no other way")
    return [rule for name in bound for rule in roles[name]]


def _owned(crd: Body) -> Body:
    version = crd["spec"]["versions"][0]
    description = version["schema"]["openAPIV3Schema"]["description"]
    kind = crd["spec"]["names"]["kind"]
    return {
        "name": crd["metadata"]["name"],
        "kind": kind,
        "version": version["name"],
        "displayName": kind,
        "description": description,
    }


def _example(kind: str) -> Body:
    """Return the first example of a kind, as people would find one in the folder."""
    paths = (_ROOT / "manifests" / "examples").glob("*.yaml")
    for path in sorted(paths, key=lambda path: (path.name != _FIRST_EXAMPLE, path.name)):
        for body in yaml.safe_load_all(path.read_text()):
            if body and body["kind"] == kind:
                return dict(body)
    raise ReleaseError(f"no example in manifests/examples has a {kind}")


def _introduction() -> str:
    """Return the first paragraphs of the README."""
    return (_ROOT / "README.md").read_text().partition("# Keyturn\n")[2].partition("\n## ")[0].strip()


def _chart() -> Body:
    """Return what the chart says of the operator as a whole."""
    return dict(yaml.safe_load((_ROOT / "charts" / "keyturn" / "Chart.yaml").read_text()))


def _dockerfile() -> str:
    labels = "".join(f"LABEL {name}={value}\n" for name, value in _ANNOTATIONS.items())
    return f"FROM scratch\n{labels}COPY manifests /manifests/\nCOPY metadata /metadata/\n"


def _only(bodies: Sequence[Body], kind: str) -> Body:
    (body,) = _of(bodies, kind)
    return body


def _of(bodies: Sequence[Body], *kinds: str) -> list[Body]:
    return [body for body in bodies if body["kind"] in kinds]
