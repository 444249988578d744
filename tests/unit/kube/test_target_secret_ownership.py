from __future__ import annotations

from typing import Any

import pytest

from keyturn.kube.target_secret import filled_by, foreign_owner, other_writer

UID = "8d1f0c5e-uid"


def reference(kind: str, uid: str) -> dict[str, Any]:
    return {"ownerReferences": [{"kind": kind, "name": "shop", "uid": uid}]}


OWNED = {
    "an owner reference": (reference("SealedSecret", "other"), "SealedSecret 'shop' (ownerReferences)"),
    "a ManagedSecret of the same name that is gone": (
        reference("ManagedSecret", "other"),
        "ManagedSecret 'shop' (ownerReferences)",
    ),
    "a label of External Secrets": (
        {"labels": {"reconcile.external-secrets.io/managed": "true"}},
        "External Secrets (label reconcile.external-secrets.io/managed)",
    ),
    "an annotation of External Secrets": (
        {"annotations": {"reconcile.external-secrets.io/data-hash": "x"}},
        "External Secrets (annotation reconcile.external-secrets.io/data-hash)",
    ),
    "an annotation of cert-manager": (
        {"annotations": {"cert-manager.io/certificate-name": "x"}},
        "cert-manager (annotation cert-manager.io/certificate-name)",
    ),
    "an annotation of Sealed Secrets": (
        {"annotations": {"sealedsecrets.bitnami.com/managed": "true"}},
        "Sealed Secrets (annotation sealedsecrets.bitnami.com/managed)",
    ),
    "an annotation of Argo CD": (
        {"annotations": {"argocd.argoproj.io/tracking-id": "x"}},
        "Argo CD (annotation argocd.argoproj.io/tracking-id)",
    ),
    "a label of Flux": (
        {"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}},
        "Flux (label kustomize.toolkit.fluxcd.io/name)",
    ),
    "Helm, by the label that everybody uses": (
        {"labels": {"app.kubernetes.io/managed-by": "Helm"}},
        "Helm (label app.kubernetes.io/managed-by)",
    ),
}
FREE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "empty fields": {"labels": None, "annotations": None, "ownerReferences": None},
    "labels of no owner": {"labels": {"team": "auth"}, "annotations": {"shop.test/why": "login"}},
    "our own label": {"labels": {"app.kubernetes.io/managed-by": "keyturn"}},
    "the ManagedSecret itself": reference("ManagedSecret", UID),
}


@pytest.mark.parametrize(("metadata", "who"), [pytest.param(*case, id=name) for name, case in OWNED.items()])
def test_an_owner_is_named_with_what_says_so(metadata: dict[str, Any], who: str) -> None:
    assert foreign_owner(metadata, UID) == who


@pytest.mark.parametrize("metadata", [pytest.param(case, id=name) for name, case in FREE.items()])
def test_nobody_owns_a_secret_with(metadata: dict[str, Any]) -> None:
    assert foreign_owner(metadata, UID) is None


@pytest.mark.parametrize(
    ("type_", "who"),
    [
        ("kubernetes.io/service-account-token", "Kubernetes (type kubernetes.io/service-account-token)"),
        ("helm.sh/release.v1", "Helm (type helm.sh/release.v1)"),
        ("keyturn.dev/state", "Keyturn (type keyturn.dev/state)"),
        ("Opaque", None),
        ("shop.test/settings", None),
    ],
)
def test_a_type_reports_which_program_fills_it(type_: str, who: str | None) -> None:
    assert filled_by(type_) == who


def written(manager: str, second: int = 0) -> dict[str, str]:
    return {"manager": manager, "operation": "Update", "time": f"2026-11-24T12:00:{second:02}Z"}


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        pytest.param([written("keyturn", 9), written("kubectl-edit")], "kubectl-edit", id="one beside us"),
        pytest.param(
            [written("helm", 1), written("argocd-controller", 2)], "argocd-controller", id="the last"
        ),
        pytest.param([written("keyturn")], None, id="only we"),
        pytest.param([], None, id="nobody"),
        pytest.param([written("no name\nof a program")], None, id="what is no name"),
        pytest.param([written("x" * 65)], None, id="what is too long for one"),
        pytest.param([{}], None, id="an entry without anything"),
    ],
)
def test_who_else_has_written_is_named(entries: list[dict[str, str]], named: str | None) -> None:
    assert other_writer({"managedFields": entries}) == named


def test_without_a_record_of_writers_no_user_is_named() -> None:
    assert other_writer({}) is None
