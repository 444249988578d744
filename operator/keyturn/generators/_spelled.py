"""User names of generated credentials."""

from __future__ import annotations

from typing import Annotated

from keyturn.api.spelled import Spelled

Username = Annotated[
    str,
    Spelled(
        r"^[!-9;-~]+$",
        "a user name has printable ASCII characters without blanks and colons; write one of these",
        128,
    ),
]
