"""A webhook: any server that returns a value over HTTPS, as its whole body or one node of its JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Final

import pydantic
from yarl import URL

from keyturn.api.base import Schema, Spelled, rules
from keyturn.api.meta import Name
from keyturn.core.value import Value
from keyturn.stores.providers import errors
from keyturn.stores.providers._refs import KeyRef, Trust
from keyturn.stores.providers.base import Provider, ProviderContext, Reference, RemoteValue
from keyturn.stores.providers.errors import NotFound, Refused
from keyturn.stores.providers.guard import Answer

from .request import Request, Templates, render, variables
from .result import Result

UrlTemplate = Annotated[
    str,
    Spelled(
        r"^https?://[A-Za-z0-9._:\[\]-]+([/?]([A-Za-z0-9/?&=._~!$()*+,;:@%-]|\{\{[^{}]+\}\})*)?$",
        "write a URL such as https://vault.shop.test/v1/{{ key }}, with templates in its path and query only",
        2048,
    ),
]
HeaderTemplate = Annotated[str, pydantic.Field(min_length=1, max_length=4096)]
BodyTemplate = Annotated[str, pydantic.Field(min_length=1, max_length=8192)]
JsonPath = Annotated[str, Spelled(r"^[$]([.\[].*)?$", "write a JSONPath such as $.data.value", 512)]

_OURS: Final = [
    *("accept-encoding", "connection", "content-length", "expect", "host"),
    *("te", "trailer", "transfer-encoding", "upgrade"),
]
_IS_NAME: Final = "^[A-Za-z0-9][A-Za-z0-9-]{0,63}$"
_NAMES: Final = (
    f"self.all(name, name.matches('{_IS_NAME}') && !(name.lowerAscii() in {_OURS}))",
    "name headers like X-Api-Key; connection headers, such as Host, cannot be set",
)
_BODIES: Final = (
    "!has(self.body) || (has(self.method) && self.method == 'POST')",
    "a body needs method: POST; write it, or remove the body",
)


class Method(StrEnum):
    """How a webhook is asked."""

    GET = "GET"
    POST = "POST"


class WebhookSecret(Schema):
    """A Secret of the same namespace."""

    name: Name
    """The name of the Secret."""


class WebhookResult(Schema):
    """Where the value is in the answer."""

    json_path: JsonPath
    """A JSONPath that leads to one place, such as $.data.value or $.items[?@.name == "db"].value."""


class WebhookConfig(Schema):
    """A server that answers values over https."""

    model_config = pydantic.ConfigDict(json_schema_extra=rules(_BODIES))

    url: UrlTemplate
    """The URL, such as https://shop.test/{{ key }}; templates stand in its path and query only."""
    method: Method | None = None
    """GET or POST; GET where absent."""
    headers: dict[str, HeaderTemplate] | None = pydantic.Field(
        None, max_length=20, json_schema_extra=rules(_NAMES)
    )
    """Headers by their names, as templates, such as Bearer {{ token }}."""
    body: BodyTemplate | None = None
    """What is posted, as a template of JSON, or of a form where the header Content-Type says so."""
    secret_ref: WebhookSecret | None = None
    """The Secret whose keys the templates read."""
    ca_ref: KeyRef | None = None
    """The key of a ConfigMap with the certificates of the authorities to trust; the system's where absent."""
    result: WebhookResult | None = None
    """Where the value is in the answer; the whole body where absent."""

    @pydantic.field_validator("headers")
    @classmethod
    def _are_ours_to_send(cls, headers: dict[str, str] | None) -> dict[str, str] | None:
        if all(re.fullmatch(_IS_NAME, name) and name.lower() not in _OURS for name in headers or ()):
            return headers
        raise ValueError(_NAMES[1])

    @pydantic.model_validator(mode="after")
    def _posts_a_body(self) -> WebhookConfig:
        if self.body is not None and self.method is not Method.POST:
            raise ValueError(_BODIES[1])
        return self

    @property
    def templates(self) -> Templates:
        return Templates(self.url, self.headers or {}, self.body)


class Webhook(Provider[WebhookConfig]):
    """Reads one key by one request; the server has no versions."""

    kind = "webhook"
    Config = WebhookConfig
    rate = 20.0
    needs_takes_long = True

    def __init__(self, config: WebhookConfig, given: ProviderContext) -> None:
        super().__init__(config, given)
        self._trust = Trust(config.ca_ref, given)
        self._result: Result | None = None
        self._secret: Mapping[str, Reference] | None = None

    @classmethod
    def needs(cls, config: WebhookConfig) -> tuple[Reference, ...]:
        try:
            secret = _secret(config)
        except Refused:  # reported by a read
            secret = {}
        authorities = (config.ca_ref.in_config_map(),) if config.ca_ref else ()
        return (*secret.values(), *authorities)

    async def check(self) -> None:
        """Check that the server accepts the credential; the result for the unknown key does not matter."""
        try:
            await super().check()
        except Refused as error:
            if not error.code.startswith("Status"):
                raise

    async def _read(self, key: str, version: str | None) -> RemoteValue:  # noqa: ARG002  # it keeps none
        asked = await errors.run_apart(self.given.owner, self._request, key)
        answer = await self._ask(asked)
        if answer.status == HTTPStatus.NO_CONTENT:
            raise NotFound("NoContent")
        if answer.status != HTTPStatus.OK:
            raise errors.of_status(answer.status, answer.headers.get("Retry-After"))
        if self.config.result is None:
            return RemoteValue(Value(answer.body))
        path = self.config.result.json_path
        return RemoteValue(await errors.run_apart(self.given.owner, self._extract, path, answer.body))

    async def _ask(self, asked: Request) -> Answer:
        return await self.given.network.ask(
            self.config.method or Method.GET,
            URL(asked.url, encoded=True),
            headers=asked.headers,
            body=asked.body,
            trust=await self._trust.load(),
        )

    def _request(self, key: str) -> Request:
        if self._secret is None:
            self._secret = _secret(self.config)
        secret = {name: self.given.value_of(reference) for name, reference in self._secret.items()}
        return render(self.config.templates, key, secret, datetime.now(UTC))

    def _extract(self, path: str, body: bytes) -> Value:
        if self._result is None:
            self._result = Result(path)
        return self._result.of(body)

    def _check(self, key: str) -> None:
        super()._check(key)
        if any(segment in {"", ".", ".."} for segment in re.split(r"[/\\]", key)):
            raise Refused("InvalidKey", "a key is a name or a path such as shop/db, without dots alone")


def _secret(config: WebhookConfig) -> dict[str, Reference]:
    """Return the keys of the Secret that the templates read."""
    names = sorted(variables(config.templates))
    if not names:
        return {}
    if config.secret_ref is None:
        raise Refused("InvalidTemplate", f"there is no value {names[0]!r}; write secretRef, or key")
    return {name: Reference("Secret", config.secret_ref.name, name) for name in names}
