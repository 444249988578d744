"""Option of `keyturn run` for contacts: a file with the people or addresses of an incident."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST = 16
_LONGEST = 256
_FORMAT = "write lines such as Security Team: security@example.com"


class Contacts(click.ParamType["Mapping[str, str]"]):
    """A YAML file with a contact for each role."""

    name = "file"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Mapping[str, str]:
        """Return the contacts by role, in the order of the file."""
        if not isinstance(value, str):
            return dict(value)
        import yaml  # noqa: PLC0415  # when it runs

        try:
            found = yaml.safe_load(Path(value).read_text())
        except OSError as error:
            self.fail(f"{value}: {error.strerror}", param, ctx)
        except (yaml.YAMLError, UnicodeDecodeError):
            self.fail(f"{value} is not valid YAML; {_FORMAT}", param, ctx)
        if not isinstance(found, dict) or not all(map(_is_line, (*found, *found.values()))):
            self.fail(
                f"{value} has something other than lines of up to {_LONGEST} characters; {_FORMAT}",
                param,
                ctx,
            )
        if len(found) > _MOST:
            self.fail(f"{value} has {len(found)} contacts; write at most {_MOST}", param, ctx)
        return found


def _is_line(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= _LONGEST and text.isprintable()
