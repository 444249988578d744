"""What the API server answers to rotations and rollouts that contradict themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.api.objects import item, managed_secret

if TYPE_CHECKING:
    from tests.cluster.api.objects import Body, Objects

_DURATION = "write a duration such as 90d, 2160h or 1d12h (units s m h d w)"
_CRON = 'write a cron expression of five fields, such as "0 3 1 */3 *"'
_JITTER = "write jitter as 0% to 50%, such as 10%"
_ONLY = "rotation.only names a value that data does not generate; use names of generated items"
_NOTHING = (
    "rotation replaces generated values and data has none; generate one, or keep only windows for pulled ones"
)
_NAME = "a name has lower-case letters, digits, '-' and '.', the last two not at its ends"

_WINDOW = {"cron": "0 2 * * 6", "duration": "3h"}
_MINUTE = "a window shorter than a minute would be missed; write 1m or longer"
_SPREADS = "jitter spreads every; write every as well, or a className whose class has it"

_LITERAL = {"name": "username", "literal": "shop"}
_DEPLOYMENT = {"kind": "Deployment", "name": "api"}
_YEARLY = {"cron": "0 0 1 1 *"}


def rotating(**rotation: Any) -> Body:
    return managed_secret(rotation=rotation)


def windowed(**window: Any) -> Body:
    return rotating(windows=[_WINDOW, _WINDOW | window])


def rolling(**rollout: Any) -> Body:
    return managed_secret(rollout=rollout)


ROTATION = {
    "an interval of zero": (
        rotating(every="0d"),
        f'spec.rotation.every: Invalid value: "0d": {_DURATION}, longer than zero',
    ),
    "values that Keyturn applies": (
        rotating(every="90d", appliedBy="Keyturn"),
        (
            "spec.rotation.appliedBy: Invalid value: Keyturn applies a value at the server that database names;"
            " write database, or appliedBy: Nobody, or Application if something of yours applies it"
        ),
    ),
    "an interval without a unit": (
        rotating(every="90"),
        f'spec.rotation.every: Invalid value: "90": {_DURATION}',
    ),
    "an interval that is a number": (
        rotating(every=90),
        (
            'spec.rotation.every: Invalid value: "integer": spec.rotation.every in body must be of'
            " type string:"
            ' "integer"'
        ),
    ),
    "an interval in a capital unit": (
        rotating(every="90D"),
        f'spec.rotation.every: Invalid value: "90D": {_DURATION}',
    ),
    "an interval with a fraction": (
        rotating(every="1.5h"),
        f'spec.rotation.every: Invalid value: "1.5h": {_DURATION}',
    ),
    "an interval into the past": (
        rotating(every="-1d"),
        f'spec.rotation.every: Invalid value: "-1d": {_DURATION}',
    ),
    "an interval with a blank": (
        rotating(every="1d 12h"),
        f'spec.rotation.every: Invalid value: "1d 12h": {_DURATION}',
    ),
    "an interval of 33 characters": (
        rotating(every="9" * 32 + "d"),
        "spec.rotation.every: Too long: may not be more than 32 bytes",
    ),
    "interval with schedule": (
        rotating(every="90d", schedule=_YEARLY),
        "spec.rotation: Invalid value: every and schedule contradict each other; keep one",
    ),
    "jitter with schedule": (
        rotating(schedule=_YEARLY, jitter="10%"),
        (
            "spec.rotation: Invalid value: jitter spreads every, a schedule is exact; remove jitter or"
            " write every"
            " instead of schedule"
        ),
    ),
    "jitter without an interval": (
        rotating(trigger="now", jitter="5%"),
        f"spec.rotation.jitter: Invalid value: {_SPREADS}",
    ),
    "jitter without an interval or a class": (
        managed_secret(className="", rotation={"jitter": "5%"}),
        f"spec.rotation.jitter: Invalid value: {_SPREADS}",
    ),
    "a window of a cron of four fields": (
        windowed(cron="0 3 1 *"),
        f'spec.rotation.windows[1].cron: Invalid value: "0 3 1 *": {_CRON}',
    ),
    "a window without a duration": (
        rotating(windows=[{"cron": "0 2 * * 6"}]),
        "spec.rotation.windows[0].duration: Required value",
    ),
    "a window without a cron": (
        rotating(windows=[{"duration": "3h"}]),
        "spec.rotation.windows[0].cron: Required value",
    ),
    "a window of 59 seconds": (
        windowed(duration="59s"),
        f"spec.rotation.windows[1].duration: Invalid value: {_MINUTE}",
    ),
    "a window into the past": (
        windowed(duration="-3h"),
        f'spec.rotation.windows[1].duration: Invalid value: "-3h": {_DURATION}',
    ),
    "seventeen windows": (
        rotating(windows=[_WINDOW] * 17),
        "spec.rotation.windows: Too many: 17: must have at most 16 items",
    ),
    "an overlap into the past": (
        rotating(overlap="-1h"),
        f'spec.rotation.overlap: Invalid value: "-1h": {_DURATION}',
    ),
    "an overlap without a unit": (
        rotating(overlap="1"),
        f'spec.rotation.overlap: Invalid value: "1": {_DURATION}',
    ),
    "a history of minus one": (
        rotating(revisionHistoryLimit=-1),
        (
            "spec.rotation.revisionHistoryLimit: Invalid value: -1: spec.rotation.revisionHistoryLimit in"
            " body should be greater than or equal to 0"
        ),
    ),
    "a history of eleven": (
        rotating(revisionHistoryLimit=11),
        (
            "spec.rotation.revisionHistoryLimit: Invalid value: 11: spec.rotation.revisionHistoryLimit in"
            " body should be less than or equal to 10"
        ),
    ),
    "jitter of 51 percent": (
        rotating(every="90d", jitter="51%"),
        f'spec.rotation.jitter: Invalid value: "51%": {_JITTER}',
    ),
    "jitter without a percent sign": (
        rotating(every="90d", jitter="10"),
        f'spec.rotation.jitter: Invalid value: "10": {_JITTER}',
    ),
    "cron of four fields": (
        rotating(schedule={"cron": "0 3 1 *"}),
        f'spec.rotation.schedule.cron: Invalid value: "0 3 1 *": {_CRON}',
    ),
    "cron of six fields": (
        rotating(schedule={"cron": "0 0 3 1 * *"}),
        f'spec.rotation.schedule.cron: Invalid value: "0 0 3 1 * *": {_CRON}',
    ),
    "cron by nickname": (
        rotating(schedule={"cron": "@monthly"}),
        f'spec.rotation.schedule.cron: Invalid value: "@monthly": {_CRON}',
    ),
    "a time zone alone": (
        rotating(schedule={"timeZone": "Europe/Berlin"}),
        "spec.rotation.schedule.cron: Required value",
    ),
    "an empty trigger": (
        rotating(trigger=""),
        (
            'spec.rotation.trigger: Invalid value: "": spec.rotation.trigger in body should be at least'
            " 1 chars long"
        ),
    ),
    "a trigger of 257 characters": (
        rotating(trigger="x" * 257),
        "spec.rotation.trigger: Too long: may not be more than 256 bytes",
    ),
    "only what data does not name": (
        rotating(only=["password"]),
        f"spec.rotation.only: Invalid value: {_ONLY}",
    ),
    "only a literal": (
        managed_secret(item("token"), _LITERAL, rotation={"only": ["username"]}),
        f"spec.rotation.only: Invalid value: {_ONLY}",
    ),
    "only the same twice": (
        rotating(only=["token", "token"]),
        'spec.rotation.only[1]: Duplicate value: "token"',
    ),
    "only nothing": (
        rotating(only=[]),
        "spec.rotation.only: Invalid value: 0: spec.rotation.only in body should have at least 1 items",
    ),
    "nothing that rotates": (
        managed_secret(_LITERAL, rotation={"every": "90d"}),
        f"spec.rotation: Invalid value: {_NOTHING}",
    ),
}

ROLLOUT = {
    "a restart that does not exist": (
        rolling(restart="Always"),
        'spec.rollout.restart: Unsupported value: "Always": supported values: "Auto", "Listed", "None"',
    ),
    "Listed without targets": (
        rolling(restart="Listed"),
        (
            "spec.rollout: Invalid value: restart: Listed needs targets, such as targets:"
            " [{kind: Deployment, name: api}]"
        ),
    ),
    "None with targets": (
        rolling(restart="None", targets=[_DEPLOYMENT]),
        (
            "spec.rollout: Invalid value: restart: None restarts no workload; remove targets, or write"
            " restart: Listed"
        ),
    ),
    "empty targets": (
        rolling(targets=[]),
        "spec.rollout.targets: Invalid value: 0: spec.rollout.targets in body should have at least 1 items",
    ),
    "a target twice": (
        rolling(targets=[_DEPLOYMENT, _DEPLOYMENT]),
        'spec.rollout.targets[1]: Duplicate value: {"kind":"Deployment","name":"api"}',
    ),
    "a target of a kind that does not roll": (
        rolling(targets=[{"kind": "Job", "name": "api"}]),
        (
            'spec.rollout.targets[0].kind: Unsupported value: "Job": supported values: "Deployment",'
            ' "StatefulSet", "DaemonSet", "Rollout"'
        ),
    ),
    "a target without a name": (
        rolling(targets=[{"kind": "Deployment"}]),
        "spec.rollout.targets[0].name: Required value",
    ),
    "a target's name with capitals": (
        rolling(targets=[{"kind": "Deployment", "name": "Api"}]),
        f'spec.rollout.targets[0].name: Invalid value: "Api": {_NAME}',
    ),
    "a debounce without a unit": (
        rolling(debounce="5"),
        f'spec.rollout.debounce: Invalid value: "5": {_DURATION}',
    ),
    "an early failure of another kind": (
        rolling(failFast={"when": "Unready"}),
        'spec.rollout.failFast.when: Unsupported value: "Unready": supported values: "Crashing", "Never"',
    ),
    "no restart counted as a crash": (
        rolling(failFast={"restarts": 0}),
        (
            "spec.rollout.failFast.restarts: Invalid value: 0: spec.rollout.failFast.restarts in body should be"
            " greater than or equal to 1"
        ),
    ),
    "restarts that are never counted": (
        rolling(failFast={"when": "Never", "restarts": 3}),
        (
            "spec.rollout.failFast: Invalid value: when: Never counts no restarts; remove restarts, or write"
            " when: Crashing"
        ),
    ),
    "nobody at a time": (
        rolling(maxConcurrent=0),
        (
            "spec.rollout.maxConcurrent: Invalid value: 0: spec.rollout.maxConcurrent in body should be"
            " greater than"
            " or equal to 1"
        ),
    ),
}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [pytest.param(*case, id=name) for name, case in (ROTATION | ROLLOUT).items()],
)
def test_the_refusal_says_what_is_wrong(body: Body, sentence: str, objects: Objects) -> None:
    assert objects.refusals(body) == [sentence]
