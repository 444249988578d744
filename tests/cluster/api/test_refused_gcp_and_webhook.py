"""What the API server answers to settings of Google Cloud and webhooks that nobody could use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.api.objects import secret_store

if TYPE_CHECKING:
    from tests.cluster.api.objects import Body, Objects

_BY_KEY = {"secretRef": {"name": "gcp", "key": "key.json"}}
_POOL = "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/shop/providers/cluster"
_IDENTITY = {"workloadIdentity": {"serviceAccountRef": {"name": "app"}, "audience": _POOL}}
_ONE_LOGIN = "write exactly one of secretRef and workloadIdentity"
_URL = "write a URL such as https://vault.shop.test/v1/{{ key }}, with templates in its path and query only"
_HEADERS = "name headers like X-Api-Key; connection headers, such as Host, cannot be set"


def google(**settings: object) -> Body:
    return secret_store({"gcpSecretManager": {"projectId": "shop", "auth": _BY_KEY, **settings}})


def hook(**settings: object) -> Body:
    return secret_store({"webhook": {"url": "https://hook.example/{{ key }}", **settings}})


def wrong(provider: str, field: str, sentence: str, value: str | None = None) -> str:
    at = f"spec.provider.{provider}{field}: Invalid value:"
    return f"{at} {sentence}" if value is None else f'{at} "{value}": {sentence}'


def wrong_url(url: str) -> tuple[Body, str]:
    return hook(url=url), wrong("webhook", ".url", _URL, url)


REFUSED = {
    "no login": (google(auth={}), wrong("gcpSecretManager", ".auth", _ONE_LOGIN)),
    "two logins": (google(auth={**_BY_KEY, **_IDENTITY}), wrong("gcpSecretManager", ".auth", _ONE_LOGIN)),
    "a path as project": (
        google(projectId="projects/shop"),
        wrong("gcpSecretManager", ".projectId", "write a project's ID such as shop-prod", "projects/shop"),
    ),
    "a zone as region": (
        google(location="europe-west3-a"),
        wrong("gcpSecretManager", ".location", "write a region such as europe-west3", "europe-west3-a"),
    ),
    "an endpoint with a path": (
        google(endpoint="https://a.example/v1"),
        wrong(
            "gcpSecretManager",
            ".endpoint",
            "write an endpoint such as https://secretmanager-shop.p.googleapis.com, without a path",
            "https://a.example/v1",
        ),
    ),
    "a template as host": wrong_url("https://{{ key }}/a"),
    "a template at the end of a host": wrong_url("https://hook.example{{ key }}"),
    "a template as port": wrong_url("https://hook.example:{{ key }}/a"),
    "a tag in a URL": wrong_url("https://hook.example/{% if key %}a{% endif %}"),
    "a login in a URL": wrong_url("https://user:pass@hook.example/{{ key }}"),
    "a fragment": wrong_url("https://hook.example/#{{ key }}"),
    "a header of the connection": (
        hook(headers={"HOST": "evil.example"}),
        wrong("webhook", ".headers", _HEADERS),
    ),
    "two headers in a name": (hook(headers={"X-A: b\r\nX-B": "c"}), wrong("webhook", ".headers", _HEADERS)),
    "a body that nobody posts": (
        hook(body="{}"),
        wrong("webhook", "", "a body needs method: POST; write it, or remove the body"),
    ),
    "a path that begins nowhere": (
        hook(result={"jsonPath": "data.value"}),
        wrong("webhook", ".result.jsonPath", "write a JSONPath such as $.data.value", "data.value"),
    ),
}

TAKEN = {
    "a key": google(),
    "a pool": google(auth=_IDENTITY, location="europe-west3", endpoint="https://sm-shop.p.googleapis.com"),
    "a pool's short name": google(
        auth={
            "workloadIdentity": {
                "serviceAccountRef": {"name": "app"},
                "audience": _POOL.removeprefix("//iam.googleapis.com/"),
                "serviceAccountEmail": "reader@shop.iam.gserviceaccount.com",
            }
        }
    ),
    "a URL alone": hook(),
    "everything": hook(
        url='https://hook.example:8443/v1/{{ values["a.b"] | upcase }}/x?name={{ key }}&y=~z',
        method="POST",
        headers={"Authorization": "Bearer {{ token }}", "X-Key": "{{ key }}"},
        body='{"a": "{{ key }}"}',
        secretRef={"name": "hook"},
        caRef={"name": "ca", "key": "ca.crt"},
        result={"jsonPath": '$.items[?@.name == "db"].value'},
    ),
    "an address as host": hook(url="https://[fd00::1]:8200?key={{ key }}"),
}


@pytest.mark.parametrize(
    ("body", "sentence"), [pytest.param(*case, id=name) for name, case in REFUSED.items()]
)
def test_the_refusal_says_what_is_wrong(body: Body, sentence: str, objects: Objects) -> None:
    assert objects.refusals(body) == [sentence]


@pytest.mark.parametrize("body", TAKEN.values(), ids=TAKEN)
def test_what_can_be_used_is_taken(body: Body, objects: Objects) -> None:
    assert objects.refusals(body) == []
