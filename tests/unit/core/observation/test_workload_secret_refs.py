"""Who uses a Secret, in every way that a pod template has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keyturn.api.status import Via
from keyturn.core.observation.workload import Use, uses_of


def env(secret: str, key: str, **more: Any) -> dict[str, Any]:
    return {"name": "X", "valueFrom": {"secretKeyRef": {"name": secret, "key": key} | more}}


def container(*variables: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "app", "env": list(variables)} | more


def used(secret: str, *via: Via, keys: set[str] | None = None) -> Use:
    return Use(secret, via, None if keys is None else frozenset(keys))


ENV_FROM = {"envFrom": [{"secretRef": {"name": "db"}}]}


@pytest.mark.parametrize(
    ("pod_spec", "uses"),
    [
        pytest.param(
            {"containers": [container(env("db", "user"), env("db", "pass"))]},
            (used("db", Via.ENV, keys={"user", "pass"}),),
            id="env",
        ),
        pytest.param(
            {"containers": [container(env("db", "user", optional=True))]},
            (replace(used("db", Via.ENV, keys={"user"}), optional=True),),
            id="env, optional",
        ),
        pytest.param({"containers": [ENV_FROM]}, (used("db", Via.ENV_FROM),), id="envFrom"),
        pytest.param(
            {"containers": [{"envFrom": [{"prefix": "P_", "secretRef": {"name": "db", "optional": True}}]}]},
            (replace(used("db", Via.ENV_FROM), optional=True),),
            id="envFrom, optional, with a prefix",
        ),
        pytest.param({"initContainers": [ENV_FROM]}, (used("db", Via.ENV_FROM),), id="init container"),
        pytest.param(
            {"ephemeralContainers": [ENV_FROM]}, (used("db", Via.ENV_FROM),), id="ephemeral container"
        ),
        pytest.param(
            {"volumes": [{"name": "v", "secret": {"secretName": "db"}}]},
            (used("db", Via.VOLUME),),
            id="volume",
        ),
        pytest.param(
            {
                "volumes": [
                    {"secret": {"secretName": "db", "items": [{"key": "a", "path": "x"}, {"key": "b"}]}}
                ]
            },
            (used("db", Via.VOLUME, keys={"a", "b"}),),
            id="volume of some keys",
        ),
        pytest.param(
            {"volumes": [{"secret": {"secretName": "db", "items": []}}]},
            (used("db", Via.VOLUME),),
            id="volume, items: []",
        ),
        pytest.param(
            {
                "volumes": [
                    {
                        "projected": {
                            "sources": [
                                {"configMap": {"name": "c"}},
                                {"secret": {"name": "db"}},
                                {"secret": {"name": "tls", "items": [{"key": "tls.crt"}]}},
                            ]
                        }
                    }
                ]
            },
            (used("db", Via.PROJECTED), used("tls", Via.PROJECTED, keys={"tls.crt"})),
            id="projected volume",
        ),
        pytest.param(
            {
                "containers": [container(env("db", "a"), **ENV_FROM)],
                "volumes": [{"secret": {"secretName": "db", "items": [{"key": "b"}]}}],
            },
            (used("db", Via.ENV, Via.ENV_FROM, Via.VOLUME),),
            id="several ways, one takes all keys",
        ),
        pytest.param(
            {
                "containers": [container(env("db", "a"))],
                "volumes": [{"secret": {"secretName": "db", "items": [{"key": "b"}]}}],
            },
            (used("db", Via.ENV, Via.VOLUME, keys={"a", "b"}),),
            id="several ways, each some keys",
        ),
        pytest.param(
            {"containers": [container(env("z", "k"), env("a", "k"))]},
            (used("a", Via.ENV, keys={"k"}), used("z", Via.ENV, keys={"k"})),
            id="several Secrets, sorted",
        ),
    ],
)
def test_each_way_of_using_a_secret_is_found(pod_spec: dict[str, Any], uses: tuple[Use, ...]) -> None:
    assert uses_of(pod_spec) == uses


@pytest.mark.parametrize(
    "pod_spec",
    [
        {},
        {"containers": None, "volumes": None, "imagePullSecrets": None},
        {"containers": [{"name": "app", "env": None, "envFrom": None}]},
        {
            "containers": [
                container({"name": "X", "value": "1"}, {"name": "Y"}, {"name": "Z", "valueFrom": None})
            ]
        },
        {
            "containers": [
                container({"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}})
            ]
        },
        {
            "containers": [
                {"envFrom": [{"configMapRef": {"name": "c"}}, {"secretRef": None}, {"secretRef": {}}]}
            ]
        },
        {"containers": [container({"name": "X", "valueFrom": {"secretKeyRef": {"key": "k"}}})]},
        {"volumes": [{"emptyDir": {}}, {"secret": None}, {"secret": {}}, {"projected": None}]},
        {"volumes": [{"projected": {"sources": None}}, {"projected": {"sources": [{"secret": {}}]}}]},
        {"imagePullSecrets": [{"name": "registry"}]},
    ],
    ids=[
        "nothing",
        "sections of null",
        "a container's sections of null",
        "variables without a Secret",
        "a ConfigMap's key",
        "envFrom without a Secret",
        "a key of no Secret",
        "volumes without a Secret",
        "projections without a Secret",
        "a Secret that only the kubelet reads",
    ],
)
def test_what_names_no_secret_is_no_use(pod_spec: dict[str, Any]) -> None:
    assert uses_of(pod_spec) == ()
