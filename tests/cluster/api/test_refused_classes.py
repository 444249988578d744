"""What the API server answers to a SecretClass that asks for less than the floor, or contradicts itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.api.objects import secret_class

if TYPE_CHECKING:
    from tests.cluster.api.objects import Body, Objects

_STRICT = 'SecretClass in version "v1alpha1" cannot be handled as a SecretClass: strict decoding error: '

_SUBJECT = (
    "write the name of a user as the API server knows it, such as system:serviceaccount:argocd:*,"
    " and not only *"
)

CLASSES = {
    "a minimum of 31 characters": (
        secret_class(minLength=31),
        (
            "spec.minLength: Invalid value: minLength cannot go below the floor of 32 characters; write"
            " 32 or more"
        ),
    ),
    "a minimum of 127 bits": (
        secret_class(minEntropyBits=127),
        (
            "spec.minEntropyBits: Invalid value: minEntropyBits cannot go below the floor of 128 bits;"
            " write 128 or"
            " more"
        ),
    ),
    "a priority that does not exist": (
        secret_class(priority="Urgent"),
        'spec.priority: Unsupported value: "Urgent": supported values: "Critical", "High", "Medium", "Low"',
    ),
    "everybody as a usual reader": (
        secret_class(access={"allowed": ["*"]}),
        f'spec.access.allowed[0]: Invalid value: "*": {_SUBJECT}',
    ),
    "a usual reader with a space": (
        secret_class(access={"allowed": ["ada lovelace"]}),
        f'spec.access.allowed[0]: Invalid value: "ada lovelace": {_SUBJECT}',
    ),
    "a list of nobody": (
        secret_class(access={"allowed": []}),
        "spec.access.allowed: Invalid value: 0: spec.access.allowed in body should have at least 1 items",
    ),
    "a description of 1025 characters": (
        secret_class(description="x" * 1025),
        "spec.description: Too long: may not be more than 1024 bytes",
    ),
    "interval with schedule": (
        secret_class(rotation={"every": "90d", "schedule": {"cron": "0 0 1 1 *"}}),
        "spec.rotation: Invalid value: every and schedule contradict each other; keep one",
    ),
    "a longest interval of nothing": (
        secret_class(maxInterval="0d"),
        (
            'spec.maxInterval: Invalid value: "0d": write a duration such as 90d, 2160h or 1d12h'
            " (units s m h d w), longer than zero"
        ),
    ),
    "an enforcement that does not exist": (
        secret_class(enforcement="Audit"),
        'spec.enforcement: Unsupported value: "Audit": supported values: "Deny", "Warn"',
    ),
    "a window of 30 seconds": (
        secret_class(rotation={"windows": [{"cron": "0 2 * * 6", "duration": "30s"}]}),
        (
            "spec.rotation.windows[0].duration: Invalid value: a window shorter than a minute would be"
            " missed; write 1m or longer"
        ),
    ),
    "a history for all": (
        secret_class(rotation={"revisionHistoryLimit": 3}),
        f'{_STRICT}unknown field "spec.rotation.revisionHistoryLimit"',
    ),
    "a trigger for all": (
        secret_class(rotation={"trigger": "now"}),
        f'{_STRICT}unknown field "spec.rotation.trigger"',
    ),
    "no generator": (
        secret_class(generate={}),
        (
            "spec.generate: Invalid value: write exactly one generator under generate, such as password:"
            " {length: 40}"
        ),
    ),
    "no spec": (
        {key: value for key, value in secret_class().items() if key != "spec"},
        "spec: Required value",
    ),
}


@pytest.mark.parametrize(
    ("body", "sentence"), [pytest.param(*case, id=name) for name, case in CLASSES.items()]
)
def test_the_refusal_says_what_is_wrong(body: Body, sentence: str, objects: Objects) -> None:
    assert objects.refusals(body) == [sentence]
