"""A SecretClass of a test's own, and what a test does with it and reads of it."""

from dataclasses import dataclass
from typing import Any

from sandbox.harness import eventually
from tests.support.objects import Body, Objects

_DEFAULT = "keyturn.dev/is-default-class"


@dataclass(frozen=True, slots=True)
class Class:
    """A SecretClass that is there from its first write on."""

    objects: Objects
    name: str

    def write(self, **spec: Any) -> None:
        """Create it, or give it another spec."""
        if self.exists():
            self.objects.edit("SecretClass", "", self.name, lambda there: there.update(spec=spec))
        else:
            body = {"kind": "SecretClass", "metadata": {"name": self.name}, "spec": spec}
            self.objects.create("", body)

    def mark_default(self, value: str | None = "true") -> None:
        """Mark it as the default class, or take the mark away with None."""
        marks = {} if value is None else {_DEFAULT: value}
        self.objects.edit(
            "SecretClass", "", self.name, lambda there: there["metadata"].update(annotations=marks)
        )

    def exists(self) -> bool:
        return self.objects.find("SecretClass", "", self.name) is not None

    def delete(self) -> None:
        self.objects.delete("SecretClass", "", self.name)

    def until(self, type_: str, status: str, reason: str) -> str:
        """Wait until a condition is as given, and of the newest spec; return its message."""
        found: Body = {}

        def holds() -> bool:
            body = self.objects.get("SecretClass", "", self.name)
            conditions = (body.get("status") or {}).get("conditions", ())
            found.update(next((one for one in conditions if one["type"] == type_), {}))
            is_new = found.get("observedGeneration") == body["metadata"]["generation"]
            return is_new and (found["status"], found["reason"]) == (status, reason)

        eventually(holds, f"{type_} of class {self.name} is {status} by {reason}")
        return str(found["message"])
