"""A Secret has the labels and annotations that External Secrets would copy to it."""

from typing import Any

import pytest

from keyturn.api import ManagedSecret
from keyturn.offline.convert import Conversion, Weight, convert

_METADATA = {
    "labels": {"jenkins.io/credentials-type": "usernamePassword"},
    "annotations": {"reflector.v1.k8s.emberstack.com/reflection-allowed": "true"},
}
_NOISE = {"force-sync": "1", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
_SPEC: dict[str, Any] = {
    "secretStoreRef": {"name": "vault"},
    "data": [{"secretKey": "token", "remoteRef": {"key": "shop/token"}}],
}


def test_labels_and_annotations_are_copied_without_a_template() -> None:
    annotations = {**_METADATA["annotations"], **_NOISE}

    conversion = _converted({**_METADATA, "annotations": annotations}, {})

    assert _template(conversion) == {"metadata": _METADATA}
    assert conversion.findings == ()


@pytest.mark.parametrize("template", [{}, {"metadata": {"labels": {"team": "shop"}}}], ids=["empty", "own"])
def test_a_template_has_all_of_them(template: dict[str, Any]) -> None:
    assert _template(_converted(_METADATA, {"template": template})) == (template or None)


def test_marks_of_argo_cd_and_flux_are_not_copied() -> None:
    marks = {"app.kubernetes.io/instance": "shop", "kustomize.toolkit.fluxcd.io/name": "shop"}

    conversion = _converted({"labels": {**_METADATA["labels"], **marks}}, {})

    assert _template(conversion) == {"metadata": {"labels": _METADATA["labels"]}}
    assert {finding.weight for finding in conversion.findings} == {Weight.CHANGED}
    assert len(conversion.findings) == len(marks)


_OURS = {"keyturn.dev/rotate": "a", "shop.keyturn.dev/team": "b"}


def test_names_of_the_operator_are_not_copied() -> None:
    annotations = {**_METADATA["annotations"], **_OURS}

    conversion = _converted({**_METADATA, "annotations": annotations, "labels": _OURS}, {})

    assert _template(conversion) == {"metadata": {"annotations": _METADATA["annotations"]}}
    assert {finding.weight for finding in conversion.findings} == {Weight.CHANGED}
    assert len(conversion.findings) == 2 * len(_OURS)


def test_names_of_the_operator_in_a_template_are_lost() -> None:
    template = {"metadata": {"annotations": {**_METADATA["annotations"], **_OURS}}}

    conversion = _converted({}, {"template": template})

    assert _template(conversion) == {"metadata": {"annotations": _METADATA["annotations"]}}
    assert [finding.weight for finding in conversion.findings] == [Weight.LOST] * len(_OURS)


def test_a_secret_that_is_merged_into_gets_none_and_that_is_lost() -> None:
    conversion = _converted(_METADATA, {"creationPolicy": "Merge"})

    assert _template(conversion) is None
    assert [(one.field, one.weight) for one in conversion.findings] == [
        ("metadata.labels", Weight.LOST),
        ("metadata.annotations", Weight.LOST),
    ]


def _converted(metadata: dict[str, Any], target: dict[str, Any]) -> Conversion:
    body = {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": {"name": "login", "namespace": "shop", **metadata},
        "spec": {**_SPEC, "target": target},
    }
    return convert([body])


def _template(conversion: Conversion) -> dict[str, Any] | None:
    (made,) = conversion.manifests
    ManagedSecret.model_validate(made.body)
    template: dict[str, Any] | None = made.body["spec"]["target"].get("template")
    return template
