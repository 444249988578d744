"""What the API server answers to a ManagedSecret that says too little, too much or nonsense."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from keyturn.api.target import TRACKING_ANNOTATIONS, TRACKING_LABELS
from tests.cluster.api.objects import item, managed_secret

if TYPE_CHECKING:
    from tests.cluster.api.objects import Body, Objects

_NAME = "a name has lower-case letters, digits, '-' and '.', the last two not at its ends"
_KEY = "a key of a Secret has letters, digits, '-', '_' or '.' only and does not start with '..'"
_TOO_HEAVY = (
    "literals, templates and annotations have at most 65536 characters together; split them over several"
    " ManagedSecrets, or keep long texts in a store and read them with from"
)
_SOURCE = "every item of data needs generate, from or literal, or a className whose class brings a generator"
_ONE_GENERATOR = "write exactly one generator under generate, such as password: {length: 40}"
_QUALIFIED = "name labels and annotations like example.com/team, with at most 63 characters after the domain"
_RESERVED = "names under keyturn.dev/ are the operator's own; remove them from target.template.metadata"
_LABEL = "a label's value has letters, digits, '-', '_' and '.', the last three not at its ends"
_TYPES = (
    '"Opaque", "kubernetes.io/basic-auth", "kubernetes.io/tls", "kubernetes.io/ssh-auth",'
    ' "kubernetes.io/dockerconfigjson"'
)
_HELM = "Helm reads Secrets with names starting with sh.helm.release. as its releases; choose another"
_STATE = "names ending in -keyturn are for the operator's own state; choose another"
_STRICT = 'ManagedSecret in version "v1alpha1" cannot be handled as a ManagedSecret: strict decoding error: '


def literal(name: str, text: str = "shop") -> Body:
    return {"name": name, "literal": text}


def tracking(names: tuple[str, ...]) -> str:
    return (
        f"Argo CD and Flux track their own objects by {', '.join(names)}, and would prune the Secret as one of theirs"
        " that is not in Git; remove it from target.template.metadata"
    )


def labelled(key: str, value: str = "x") -> Body:
    return managed_secret(target={"template": {"metadata": {"labels": {key: value}}}})


DATA = {
    "no data": (
        managed_secret() | {"spec": {}},
        "spec: Invalid value: a Secret needs values; write data, dataFrom or both",
    ),
    "empty data": (
        managed_secret() | {"spec": {"data": []}},
        "spec.data: Invalid value: 0: spec.data in body should have at least 1 items",
    ),
    "more than 128 items": (
        managed_secret(*(literal(f"key-{number}") for number in range(129))),
        "spec.data: Too many: 129: must have at most 128 items",
    ),
    "no source": (
        managed_secret({"name": "token"}),
        f"spec.data: Invalid value: {_SOURCE}",
    ),
    "no source and no class": (
        managed_secret({"name": "token"}, className=""),
        f"spec.data: Invalid value: {_SOURCE}",
    ),
    "two sources": (
        managed_secret(item("token") | {"literal": "shop"}),
        "spec.data[0]: Invalid value: an item has one of generate, from and literal; keep one",
    ),
    "a name twice": (
        managed_secret(item("token"), literal("token")),
        'spec.data[1]: Duplicate value: {"name":"token"}',
    ),
    "no name": (
        managed_secret({"literal": "shop"}),
        "spec.data[0].name: Required value",
    ),
    "a key with a slash": (
        managed_secret(literal("prod/token")),
        f'spec.data[0].name: Invalid value: "prod/token": {_KEY}',
    ),
    "a key outside of ASCII": (
        managed_secret(literal("schlüssel")),
        f'spec.data[0].name: Invalid value: "schlüssel": {_KEY}',
    ),
    "a key that is the folder itself": (
        managed_secret(literal(".")),
        f'spec.data[0].name: Invalid value: ".": {_KEY}',
    ),
    "a key that leaves the folder": (
        managed_secret(literal("..data")),
        f'spec.data[0].name: Invalid value: "..data": {_KEY}',
    ),
    "a key of 254 characters": (
        managed_secret(literal("k" * 254)),
        "spec.data[0].name: Too long: may not be more than 253 bytes",
    ),
    "a literal that is a number": (
        managed_secret({"name": "port", "literal": 5432}),
        (
            'spec.data[0].literal: Invalid value: "integer": spec.data[0].literal in body must be of'
            " type string:"
            ' "integer"'
        ),
    ),
    "a literal of 16385 characters": (
        managed_secret(literal("text", "x" * 16385)),
        (
            "spec.data[0].literal: Invalid value: a literal has at most 16384 characters; keep a longer text in a"
            " store and read it with from"
        ),
    ),
    "literals of 65537 characters together": (
        managed_secret(*(literal(f"key-{number}", "x" * 16384) for number in range(4)), literal("one", "x")),
        f"spec.data: Invalid value: {_TOO_HEAVY}",
    ),
    "literals, templates and annotations of 65537 characters together": (
        managed_secret(
            literal("key", "x" * 16384),
            target={
                "template": {
                    "metadata": {"annotations": {"a": "x" * 16384, "b": "x"}},
                    "data": {"conf": "x" * 16384, "other": "x" * 16384},
                }
            },
        ),
        f"spec: Invalid value: {_TOO_HEAVY}",
    ),
    "an output whose name is a text": (
        managed_secret(item("token") | {"keys": {"x" * 64: "token"}}),
        (
            "spec.data[0].keys: Invalid value: an output has a short name such as value or privateKey; write one"
            " that the generator makes"
        ),
    ),
    "no generator": (
        managed_secret({"name": "token", "generate": {}}),
        f"spec.data[0].generate: Invalid value: {_ONE_GENERATOR}",
    ),
    "a generator without settings, not even empty ones": (
        managed_secret({"name": "token", "generate": {"uuid": None}}),
        f"spec.data[0].generate: Invalid value: {_ONE_GENERATOR}",
    ),
    "two generators": (
        managed_secret({"name": "token", "generate": {"uuid": {}, "password": {}}}),
        f"spec.data[0].generate: Invalid value: {_ONE_GENERATOR}",
    ),
    "a generator that does not exist": (
        managed_secret({"name": "token", "generate": {"pasword": {}}}),
        f'{_STRICT}unknown field "spec.data[0].generate.pasword"',
    ),
}

TARGET = {
    "a name of 64 characters": (
        managed_secret(name="x" * 64),
        "metadata.name: Invalid value: the name becomes a label's value; give it at most 63 characters",
    ),
    "a target name with capitals": (
        managed_secret(target={"name": "Shop"}),
        f'spec.target.name: Invalid value: "Shop": {_NAME}',
    ),
    "an empty target name": (
        managed_secret(target={"name": ""}),
        f'spec.target.name: Invalid value: "": {_NAME}',
    ),
    "a target name of 254 characters": (
        managed_secret(target={"name": "x" * 254}),
        "spec.target.name: Too long: may not be more than 253 bytes",
    ),
    "a target that is a state Secret": (
        managed_secret(target={"name": "example-keyturn"}),
        f"spec.target.name: Invalid value: {_STATE}",
    ),
    "a name that is that of a state Secret": (
        managed_secret(name="example-keyturn"),
        f"metadata.name: Invalid value: {_STATE}",
    ),
    "a target that is a release of Helm": (
        managed_secret(target={"name": "sh.helm.release.v1.shop.v1"}),
        f"spec.target.name: Invalid value: {_HELM}",
    ),
    "a name that is that of a release of Helm": (
        managed_secret(name="sh.helm.release.v1.shop.v1"),
        f"metadata.name: Invalid value: {_HELM}",
    ),
    "the label of a release of Helm": (
        managed_secret(target={"template": {"metadata": {"labels": {"owner": "helm"}}}}),
        (
            "spec.target.template.metadata.labels: Invalid value: Helm reads Secrets with owner: helm as its"
            " releases; remove it from target.template.metadata"
        ),
    ),
    "a type that Kubernetes itself fills": (
        managed_secret(target={"type": "kubernetes.io/service-account-token"}),
        'spec.target.type: Unsupported value: "kubernetes.io/service-account-token": supported values: '
        + _TYPES,
    ),
    "a type of somebody else": (
        managed_secret(target={"type": "helm.sh/release.v1"}),
        'spec.target.type: Unsupported value: "helm.sh/release.v1": supported values: ' + _TYPES,
    ),
    "tls without its certificate": (
        managed_secret(literal("tls.key"), target={"type": "kubernetes.io/tls"}),
        (
            "spec.target.type: Invalid value: type kubernetes.io/tls needs the keys tls.crt and tls.key;"
            " name data items so, or write them by keys"
        ),
    ),
    "ssh-auth without its key": (
        managed_secret(target={"type": "kubernetes.io/ssh-auth"}),
        (
            "spec.target.type: Invalid value: type kubernetes.io/ssh-auth needs the key ssh-privatekey;"
            " name a data item so, or write it by keys"
        ),
    ),
    "dockerconfigjson without its file": (
        managed_secret(target={"type": "kubernetes.io/dockerconfigjson"}),
        (
            "spec.target.type: Invalid value: type kubernetes.io/dockerconfigjson needs the key"
            " .dockerconfigjson; name a data item so, or write it by keys"
        ),
    ),
    "basic-auth without username and password": (
        managed_secret(target={"type": "kubernetes.io/basic-auth"}),
        (
            "spec.target.type: Invalid value: type kubernetes.io/basic-auth needs the key username or password;"
            " name a data item so"
        ),
    ),
    "a label of the operator's": (
        labelled("keyturn.dev/managed-secret"),
        f"spec.target.template.metadata.labels: Invalid value: {_RESERVED}",
    ),
    "a label below the operator's domain": (
        labelled("sandbox.keyturn.dev/ready"),
        f"spec.target.template.metadata.labels: Invalid value: {_RESERVED}",
    ),
    "an annotation of the operator's": (
        managed_secret(target={"template": {"metadata": {"annotations": {"keyturn.dev/rotate": "x"}}}}),
        f"spec.target.template.metadata.annotations: Invalid value: {_RESERVED}",
    ),
    **{
        f"the tracking label {name}": (
            labelled(name),
            f"spec.target.template.metadata.labels: Invalid value: {tracking(TRACKING_LABELS)}",
        )
        for name in TRACKING_LABELS
    },
    **{
        f"the tracking annotation {name}": (
            managed_secret(target={"template": {"metadata": {"annotations": {name: "x"}}}}),
            f"spec.target.template.metadata.annotations: Invalid value: {tracking(TRACKING_ANNOTATIONS)}",
        )
        for name in TRACKING_ANNOTATIONS
    },
    "the annotation of kubectl apply": (
        managed_secret(
            target={
                "template": {
                    "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}
                }
            }
        ),
        (
            "spec.target.template.metadata.annotations: Invalid value: kubectl apply keeps a whole manifest in"
            " kubectl.kubernetes.io/last-applied-configuration, with values in plain text; remove it from"
            " target.template.metadata"
        ),
    ),
    "a label with a blank": (
        labelled("the team"),
        f"spec.target.template.metadata.labels: Invalid value: {_QUALIFIED}",
    ),
    "a label with two slashes": (
        labelled("shop.test/team/name"),
        f"spec.target.template.metadata.labels: Invalid value: {_QUALIFIED}",
    ),
    "a label of 64 characters": (
        labelled("x" * 64),
        f"spec.target.template.metadata.labels: Invalid value: {_QUALIFIED}",
    ),
    "an annotation with a blank": (
        managed_secret(target={"template": {"metadata": {"annotations": {"the team": "x"}}}}),
        f"spec.target.template.metadata.annotations: Invalid value: {_QUALIFIED}",
    ),
    "a label's value with a blank": (
        labelled("team", "the team"),
        f'spec.target.template.metadata.labels[team]: Invalid value: "the team": {_LABEL}',
    ),
    "a label's value of 64 characters": (
        labelled("team", "x" * 64),
        "spec.target.template.metadata.labels.team: Too long: may not be more than 63 bytes",
    ),
    "an annotation over 16 KiB": (
        managed_secret(target={"template": {"metadata": {"annotations": {"text": "x" * 16385}}}}),
        "spec.target.template.metadata.annotations.text: Too long: may not be more than 16384 bytes",
    ),
}


def templates(**data: str) -> Body:
    return managed_secret(target={"template": {"data": data}})


def merging(**target: object) -> Body:
    return managed_secret(target={"creationPolicy": "Merge", **target})


_THEIRS = (
    "with Merge the Secret's labels and annotations are foreign and stay; remove target.template.metadata"
)
_PREVIOUS = "keys that end in .previous are written by keepPrevious; choose another"

SHAPE = {
    "a template for a key with a slash": (
        templates(**{"prod/url": "x"}),
        f"spec.target.template.data: Invalid value: {_KEY}",
    ),
    "a template for a key that leaves the folder": (
        templates(**{"..url": "x"}),
        f"spec.target.template.data: Invalid value: {_KEY}",
    ),
    "a template for a key of ours": (
        templates(**{"url.previous": "x"}),
        f"spec.target.template.data: Invalid value: {_PREVIOUS}",
    ),
    "a template over 16 KiB": (
        templates(url=16385 * "x"),
        "spec.target.template.data.url: Too long: may not be more than 16384 bytes",
    ),
    "65 templates": (
        templates(**{f"key-{number}": "x" for number in range(65)}),
        "spec.target.template.data: Too many: 65: must have at most 64 items",
    ),
    "a creation policy that does not exist": (
        managed_secret(target={"creationPolicy": "Owner"}),
        'spec.target.creationPolicy: Unsupported value: "Owner": supported values: "Create", "Merge"',
    ),
    "an adoption of whatever is there": (
        managed_secret(target={"adopt": "Always"}),
        'spec.target.adopt: Unsupported value: "Always": supported values: "Never", "IfUnowned"',
    ),
    "other keys that are lost in some other way": (
        managed_secret(target={"otherKeys": "Drop"}),
        'spec.target.otherKeys: Unsupported value: "Drop": supported values: "Keep", "Remove"',
    ),
    "the other keys of a Secret of others": (
        merging(otherKeys="Remove"),
        (
            "spec.target.otherKeys: Invalid value: with Merge the other keys of the Secret always stay as they are;"
            " remove otherKeys"
        ),
    ),
    "a deletion policy that does not exist": (
        managed_secret(target={"deletionPolicy": "Orphan"}),
        'spec.target.deletionPolicy: Unsupported value: "Orphan": supported values: "Retain", "Delete"',
    ),
    "somebody else's Secret that is deleted": (
        merging(deletionPolicy="Delete"),
        (
            "spec.target.deletionPolicy: Invalid value: with Merge the Secret is foreign and stays;"
            " remove deletionPolicy: Delete"
        ),
    ),
    "somebody else's Secret that is made immutable": (
        merging(immutable=True),
        (
            "spec.target.immutable: Invalid value: with Merge the Secret is foreign and cannot be made immutable;"
            " remove immutable"
        ),
    ),
    "labels on somebody else's Secret": (
        merging(template={"metadata": {"labels": {"team": "auth"}}}),
        f"spec.target.template.metadata: Invalid value: {_THEIRS}",
    ),
    "annotations on somebody else's Secret": (
        merging(template={"metadata": {"annotations": {"team": "auth"}}}),
        f"spec.target.template.metadata: Invalid value: {_THEIRS}",
    ),
    "an immutable Secret that rotates": (
        managed_secret(target={"immutable": True}, rotation={"every": "90d"}),
        (
            "spec.rotation: Invalid value: an immutable Secret is written once; remove rotation,"
            " or write immutable: false"
        ),
    ),
}

REST = {
    "a field that does not exist": (
        managed_secret(rotaton={"every": "90d"}),
        f'{_STRICT}unknown field "spec.rotaton"',
    ),
    "a class's name with a blank": (
        managed_secret(className="jwt secret"),
        f'spec.className: Invalid value: "jwt secret": {_NAME}',
    ),
    "an owner of 257 characters": (
        managed_secret(owner="x" * 257),
        "spec.owner: Too long: may not be more than 256 bytes",
    ),
    "suspend in words": (
        managed_secret(suspend="yes"),
        'spec.suspend: Invalid value: "string": spec.suspend in body must be of type boolean: "string"',
    ),
}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [pytest.param(*case, id=name) for name, case in (DATA | TARGET | SHAPE | REST).items()],
)
def test_the_refusal_says_what_is_wrong(body: Body, sentence: str, objects: Objects) -> None:
    assert objects.refusals(body) == [sentence]
