"""Shell completion: scripts for shells, and answers for kubectl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.shell_completion import ShellComplete, get_completion_class

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click import Command

_VARIABLE = "_KEYTURN_COMPLETE"
"""Variable by which click detects a completion request, derived from the program's name."""
_NO_FILES = ":4"


def script(shell: str, command: Command) -> str:
    """Return the script that enables completion in a shell."""
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the shells that we offer"  # noqa: S101
    return kind(command, {}, "keyturn", _VARIABLE).source()


def for_kubectl(words: Sequence[str], command: Command) -> str:
    """Answer `kubectl_complete-keyturn`, which kubectl calls with the words so far, the last one incomplete.

    Source: Kubernetes, "Extend kubectl with plugins"; the last line is a directive of Cobra's.
    """
    *before, incomplete = words or ("",)
    found = ShellComplete(command, {}, "kubectl keyturn", _VARIABLE).get_completions(before, incomplete)
    return "\n".join([*(item.value for item in found), _NO_FILES])
