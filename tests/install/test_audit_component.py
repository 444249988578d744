"""What is applied to open the endpoint fits what the operator takes."""

from typing import Any

import pytest
import yaml

from keyturn.cli.run_command import run_command
from tests.install.installation import BASE, MANIFESTS, NAMESPACED, kustomized

AUDIT = MANIFESTS / "monitoring" / "audit"


@pytest.fixture(params=[BASE, NAMESPACED], ids=["cluster", "namespaced"])
def objects(request: pytest.FixtureRequest) -> dict[tuple[str, str], Any]:
    rendered = kustomized(request.param, components=[AUDIT])
    return {(one["kind"], one["metadata"]["name"]): one for one in rendered}


def test_the_deployment_gets_options_that_there_are_and_files_that_are_mounted(
    objects: dict[tuple[str, str], Any],
) -> None:
    pod = objects["Deployment", "keyturn"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    options = [one.split("=", 1) for one in container["args"] if one.startswith("--audit")]

    known = {option for parameter in run_command.params for option in parameter.opts}
    assert {name for name, _ in options} <= known
    (mount,) = container["volumeMounts"]
    folders = {value.rpartition("/")[0] for _, value in options if value.startswith("/")}
    assert folders == {mount["mountPath"]}
    assert pod["volumes"] == [{"name": mount["name"], "secret": {"secretName": "keyturn-audit"}}]


def test_the_port_is_open_all_the_way(objects: dict[tuple[str, str], Any]) -> None:
    (container,) = objects["Deployment", "keyturn"]["spec"]["template"]["spec"]["containers"]
    (port,) = objects["Service", "keyturn-audit"]["spec"]["ports"]
    (rule,) = objects["NetworkPolicy", "keyturn-audit"]["spec"]["ingress"]

    assert {"name": port["targetPort"], "containerPort": 8443} in container["ports"]
    assert "--audit-port=8443" in container["args"]
    assert rule == {"ports": [{"port": 8443}]}


def test_the_api_server_knows_the_service_by_its_name_and_port(objects: dict[tuple[str, str], Any]) -> None:
    webhook = yaml.load((AUDIT / "apiserver" / "webhook.yaml").read_text(), Loader=yaml.CSafeLoader)
    metadata = objects["Service", "keyturn-audit"]["metadata"]
    (port,) = objects["Service", "keyturn-audit"]["spec"]["ports"]
    cluster = webhook["clusters"][0]["cluster"]

    assert cluster["tls-server-name"] == f"{metadata['name']}.{metadata['namespace']}.svc"
    assert cluster["server"] == f"https://ADDRESS:{port['port']}/audit"


def test_no_level_of_the_policy_sends_bodies() -> None:
    policy = yaml.load((AUDIT / "apiserver" / "policy.yaml").read_text(), Loader=yaml.CSafeLoader)
    assert {rule["level"] for rule in policy["rules"]} == {"Metadata", "None"}
