"""What the API server answers to an EmergencyRotation that chooses nothing, says nothing, or is to be changed."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from kubernetes.client import ApiException

from tests.cluster.api.causes import causes
from tests.cluster.api.objects import emergency

if TYPE_CHECKING:
    from typing import Any

    from tests.cluster.api.objects import Body, Objects

_CHOOSE = (
    "spec: Invalid value: write exactly one of selector and names; selector: {} takes every ManagedSecret of"
    " the namespace"
)
_IN_ONE_LINE = "write what has happened in one line, without control characters"
_STRICT = 'EmergencyRotation in version "v1alpha1" cannot be handled as a EmergencyRotation: strict decoding error: '


def without(field: str) -> Body:
    body = emergency()
    del body["spec"][field]
    return body


EMERGENCIES = {
    "no reason": (without("reason"), "spec.reason: Required value"),
    "a reason of nothing": (
        emergency(reason=""),
        f'spec.reason: Invalid value: "": {_IN_ONE_LINE}',
    ),
    "a reason of blanks": (
        emergency(reason="  \u00a0 "),
        f'spec.reason: Invalid value: "  \\u00a0 ": {_IN_ONE_LINE}',
    ),
    "a reason of two lines": (
        emergency(reason="stolen\n# all is well"),
        f'spec.reason: Invalid value: "stolen\\n# all is well": {_IN_ONE_LINE}',
    ),
    "a reason that moves the terminal's cursor": (
        emergency(reason="stolen\x1b[2J"),
        f'spec.reason: Invalid value: "stolen\\x1b[2J": {_IN_ONE_LINE}',
    ),
    "a reason of 1025 letters": (
        emergency(reason="x" * 1025),
        "spec.reason: Too long: may not be more than 1024 bytes",
    ),
    "a contact of two lines": (
        emergency(contact="a\r\nb"),
        'spec.contact: Invalid value: "a\\r\\nb": write whom to ask in one line, without control characters',
    ),
    "an incident of blanks": (
        emergency(incident=" "),
        (
            'spec.incident: Invalid value: " ": write the incident\'s number in one line, without control'
            " characters"
        ),
    ),
    "neither selector nor names": (without("selector"), _CHOOSE),
    "both selector and names": (emergency(selector={}, names=["auth"]), _CHOOSE),
    "no name": (
        emergency(names=[]),
        "spec.names: Invalid value: 0: spec.names in body should have at least 1 items",
    ),
    "501 names": (
        emergency(names=[f"secret-{number}" for number in range(501)]),
        "spec.names: Too many: 501: must have at most 500 items",
    ),
    "a name twice": (
        emergency(names=["auth", "auth"]),
        'spec.names[1]: Duplicate value: "auth"',
    ),
    "a name that is a path": (
        emergency(names=["../other/auth"]),
        (
            'spec.names[0]: Invalid value: "../other/auth": '
            "a name has lower-case letters, digits, '-' and '.', the last two not at its ends"
        ),
    ),
    "a selector that compares with nothing": (
        emergency(selector={"matchExpressions": [{"key": "team", "operator": "In"}]}),
        (
            "spec.selector.matchExpressions[0].values: Invalid value: In and NotIn compare with values; write"
            " at least one"
        ),
    ),
    "another way to revoke": (
        emergency(revoke="Later"),
        'spec.revoke: Unsupported value: "Later": supported values: "Immediately", "AfterRollout"',
    ),
    "another namespace": (
        emergency(namespace="kube-system"),
        f'{_STRICT}unknown field "spec.namespace"',
    ),
    "a name of 64 characters": (
        emergency("x" * 64),
        (
            "metadata.name: Invalid value: the report is named after it; give it a name of at most 63"
            " characters"
        ),
    ),
}


@pytest.mark.parametrize(
    ("body", "sentence"), [pytest.param(*case, id=name) for name, case in EMERGENCIES.items()]
)
def test_the_refusal_says_what_is_wrong(body: Body, sentence: str, objects: Objects) -> None:
    assert objects.refusals(body) == [sentence]


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"reason": "nothing has happened"}, id="another reason"),
        pytest.param({"incident": "INC-1"}, id="an incident that comes"),
        pytest.param({"names": ["auth", "mail"]}, id="another secret"),
        pytest.param({"revoke": "AfterRollout"}, id="another way to revoke"),
    ],
)
def test_what_was_declared_is_not_changed(changed: dict[str, Any], objects: Objects) -> None:
    stored = objects.create(emergency(f"fixed-{secrets.token_hex(4)}", names=["auth"]))
    body = {**stored, "spec": stored["spec"] | changed}

    with pytest.raises(ApiException) as refused:
        objects.replace(body)

    assert causes(refused.value, body) == [
        "spec: Invalid value: an emergency is a record and cannot be changed; declare another one"
    ]


def test_it_can_be_acknowledged_by_annotation(objects: Objects) -> None:
    stored = objects.create(emergency(f"fixed-{secrets.token_hex(4)}"))
    acknowledged = {"keyturn.dev/acknowledge-audit": "ada"}

    objects.replace({**stored, "metadata": stored["metadata"] | {"annotations": acknowledged}})
