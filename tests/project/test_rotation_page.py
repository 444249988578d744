"""The page about a rotation explains each field of the status once."""

import re
from pathlib import Path

from keyturn.api.status import ManagedSecretStatus

_PAGE = (Path(__file__).parents[2] / "docs" / "a-rotation.md").read_text()


def test_each_field_of_the_status_is_explained_once() -> None:
    rows = re.findall(r"^\| (`.*?) \| ", _PAGE.split("## The fields of the status")[1], re.MULTILINE)
    fields = [field.alias or name for name, field in ManagedSecretStatus.model_fields.items()]

    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(fields)
