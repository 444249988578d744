"""Estimate of a new revision's content, for a plan, which reads and generates no values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn import templates
from keyturn.core.rotation.transitions import Content, with_dependents
from keyturn.core.spec.desired import previous_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.core.spec.desired import Desired
    from keyturn.core.state.state import StateFacts

__all__ = ["Makers", "content_found", "content_generated"]


@dataclass(frozen=True, slots=True)
class Makers:
    """What the generators determine about the items of a spec."""

    needs: Mapping[str, frozenset[str]]
    """Items on which each item depends."""
    merges: Mapping[str, frozenset[str]]
    """Outputs of each item that differ during an overlap."""
    mortal: frozenset[str] = frozenset()
    """Items with values that expire, at a time that is known after their generation only."""
    adopted: Mapping[str, Mapping[str, str]] | None = None
    """Keys of the values with which a Secret is adopted, by item; None if none is."""


def content_found(desired: Desired) -> Content:
    """Estimate the content of an existing Secret: it has every key of the spec, and nothing is rendered yet."""
    return Content(_keys_of(desired), {}, changed=frozenset(), previous=frozenset())


def content_generated(
    fresh: frozenset[str], desired: Desired, before: StateFacts | None, makers: Makers
) -> Content:
    """Estimate the content of a revision for which the items in `fresh` are generated."""
    every = with_dependents(fresh, makers.needs)
    previous = _previous(every, desired, before, makers)
    added = previous - desired.every_key
    return Content(
        keys=_keys_of(desired),
        templates=desired.templates,
        changed=_changed(every, desired, before) | added,
        previous=previous or _kept(before),
        begins_overlap=bool(previous),
        fresh=frozenset(item.name for item in desired.items if item.recipe and item.name in every),
    )


def _kept(before: StateFacts | None) -> frozenset[str]:
    """Return the keys of an overlap that lasts."""
    return before.current.previous if before and before.current.keeps_previous else frozenset()


def _keys_of(desired: Desired) -> Mapping[str, Mapping[str, str]]:
    """Return the keys of every item; those of dataFrom are unknown before a read."""
    return {item.name: item.keys for item in desired.items}


def _changed(fresh: frozenset[str], desired: Desired, before: StateFacts | None) -> frozenset[str]:
    """Return the keys that change; all keys of templates, whose results are unknown."""
    known = before.keys if before else {}
    now = {name: frozenset(keys.values()) for name, keys in desired.keys.items()}
    then = {name: frozenset(keys.values()) for name, keys in known.items()}
    changed = frozenset(key for name in fresh for key in now.get(name, ()))
    for name in now.keys() | then.keys():
        changed |= now.get(name, frozenset()) ^ then.get(name, frozenset())
    templates = before.templates if before else {}
    if changed or desired.templates != templates:
        changed |= desired.templates.keys() | templates.keys()
    return changed


def _previous(
    fresh: frozenset[str], desired: Desired, before: StateFacts | None, makers: Makers
) -> frozenset[str]:
    """Return the keys with an overlap."""
    replaced = [item for item in desired.items if before and item.name in fresh and item.name in before.keys]
    kept = {previous_key(key) for item in replaced if item.keep_previous for key in item.keys.values()}
    merged = {item.keys[output] for item in replaced for output in makers.merges.get(item.name, frozenset())}
    return frozenset(kept | merged) | _rendered(frozenset(item.name for item in replaced), desired)


def _rendered(replaced: frozenset[str], desired: Desired) -> frozenset[str]:
    """Return the keys of templates that read the previous value of a replaced item."""
    if not desired.reads_previous:
        return frozenset()
    names = {item.name for item in desired.items if item.recipe}
    return frozenset(
        key for key, text in desired.templates.items() if templates.previous_inputs(text, names) & replaced
    )
