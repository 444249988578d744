"""Reads all values of a ManagedSecret from their stores, one failure discards them all; and the memory of reads."""

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from keyturn.controllers.context import BackgroundJob
from keyturn.core.errors import Attempts, Stalled, Wait
from keyturn.core.keys import ObjectKey, StoreKey
from keyturn.core.observation.external import Reading
from keyturn.core.observation.observed import Observed, Specified
from keyturn.core.policy.rules import denies
from keyturn.core.reasons import ErrorReason
from keyturn.core.spec.desired import Desired
from keyturn.core.spec.items import VALUE, Item
from keyturn.core.spec.references import Destination, Source
from keyturn.core.state.records import ItemValues, StoreLease, Validity
from keyturn.core.value import Value, size_of
from keyturn.generators import generator_for
from keyturn.runtime import threadpools
from keyturn.stores import Stores
from keyturn.stores.providers import Content, RemoteValue, errors, properties
from keyturn.stores.providers.properties import Document

from .leases import LeaseManager

T = TypeVar("T")


_MAX_BYTES: Final = 4 * 1024 * 1024
"""Four times the size limit of a Secret: a document holds more than the properties that are taken from it."""
_RETRY_DELAY: Final = timedelta(seconds=5)
_IS_A_KEY: Final = re.compile(r"(?!\.\.)(?!\.$)[-._a-zA-Z0-9]{1,253}")


def may_recover_pushed_values(observed: Specified) -> bool:
    """Whether values may be at a store that an earlier object of the same name has pushed."""
    return bool(observed.desired.pushes) and observed.state is None and not observed.owns_target


def reads_stores(observed: Specified) -> bool:
    """Whether the spec has values that are read from stores."""
    return bool(observed.desired.pulled) or may_recover_pushed_values(observed)


async def read_all(
    key: ObjectKey, observed: Specified, stores: Stores, manager: LeaseManager, *, fresh: bool
) -> Reading:
    """Read all values; after a failure return none, with the error in the result.

    Without a state no lease can be recorded, so the first ones are acquired after all other values were read.
    """
    lost = observed.desired.pushes if may_recover_pushed_values(observed) else ()
    documents = _Documents(key.namespace)

    def begin(items: Iterable[Item]) -> dict[str, asyncio.Task[ItemValues]]:
        read = partial(_item, key, observed, stores, manager, documents, fresh=fresh)
        return {item.name: asyncio.ensure_future(read(item)) for item in items}

    def is_leased(item: Item) -> bool:
        try:
            return item.source is not None and stores.issues_leases(item.source.ref, key.namespace)
        except (errors.StoreError, Stalled):
            return False  # its read reports the error

    last = [] if observed.state else [item for item in observed.desired.pulled if is_leased(item)]
    pulled = begin(item for item in observed.desired.pulled if item not in last)
    pushed = [asyncio.ensure_future(_read_pushed(destination, key, stores)) for destination in lost]
    try:
        problems = await _problems([*pulled.values(), *pushed])
        if last and not problems:
            pulled |= begin(last)
            problems = await _problems(pulled.values())
    finally:
        for task in (*pulled.values(), *pushed):
            task.cancel()
        manager.close()
    values = {} if problems else {item.name: pulled[item.name].result() for item in observed.desired.pulled}
    if problem := _first_problem(problems) if problems else _key_conflict(values):
        return Reading(problem=problem, leases=(*manager.leases, *await manager.renew_others()))
    parts = [task.result() for task in pushed]
    found = await threadpools.run_for_tenant(key.namespace, _found, parts, observed.desired) if parts else {}
    return Reading(values, found, manager.leases)


async def _problems(tasks: Collection[asyncio.Task[Any]]) -> list[Wait | Stalled]:
    """Wait for reads, and return their errors."""
    if tasks:
        await asyncio.wait(tasks)
    problems = []
    for task in tasks:
        match task.exception():
            case None:
                pass
            case Wait() | Stalled() as problem:
                problems.append(problem)
            case error:
                raise error
    return problems


def _first_problem(problems: list[Wait | Stalled]) -> Wait | Stalled:
    """Return the first error; Stalled precedes Wait."""
    first = next((one for one in problems if isinstance(one, Stalled)), problems[0])
    if len(problems) == 1:
        return first
    message = f"{first.message}; and {len(problems) - 1} more could not be read"
    if isinstance(first, Stalled):
        return Stalled(first.reason, message)
    return Wait(first.reason, message, first.after)


class _Documents:
    """Documents that were read, each parsed once for all items that take a property from it."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._known: dict[int, tuple[RemoteValue, Document]] = {}
        self._parsing = asyncio.Lock()
        self._bytes = 0

    async def take(self, found: RemoteValue, doing: Callable[[Document], T]) -> T:
        """Apply a function to a document, in a thread if that takes long."""
        document = self._document(found)
        if not document.is_large:
            return doing(document)
        async with self._parsing:
            return await threadpools.run_for_tenant(self._owner, doing, document)

    def _document(self, found: RemoteValue) -> Document:
        if id(found) not in self._known:
            self._bytes += size_of(found.content)
            if self._bytes > _MAX_BYTES:
                raise errors.Refused(
                    "TooLarge",
                    f"values of stores may have {_MAX_BYTES} bytes in one ManagedSecret; split them over several",
                )
            self._known[id(found)] = found, Document(found.content)
        return self._known[id(found)][1]


async def _item(
    key: ObjectKey,
    observed: Specified,
    stores: Stores,
    manager: LeaseManager,
    documents: _Documents,
    item: Item,
    *,
    fresh: bool,
) -> ItemValues:
    source = item.source
    if source is None:
        raise Stalled(ErrorReason.INVALID_SPEC, f"{item.name} has no source")
    _check_cycle(item.name, source, key, observed.desired, stores)
    try:
        if stores.issues_leases(source.ref, key.namespace):
            if observed.desired.target_policy.immutable:
                raise Stalled(
                    ErrorReason.INVALID_SOURCE,
                    f"{item.name}: {source} has dynamic credentials, which end, and an immutable Secret keeps its"
                    " values; write immutable: false, or a key with a stored value",
                )
            lease, taken, kept = await manager.lease(source)
            if taken is None:
                return kept[source.text].under_keys_of(item, observed.desired.item_keys)
            found = taken
        else:
            lease = None
            found = await stores.read(source.ref, key.namespace, source.key, source.version, fresh=fresh)
        if source.spreads:
            every = _spread(source, await documents.take(found, Document.parts), item.name, observed.desired)
            return _with_lease(every, lease)
        value = await documents.take(found, lambda document: document.take(source.part))
    except errors.StoreError as error:
        errors.raise_alone(trouble_of(error, f"{item.name}: {source}"))
    _check_value(value, item, source, observed)
    return _with_lease(ItemValues(source.text, {VALUE: value}, item.keys), lease)


def _check_cycle(name: str, source: Source, key: ObjectKey, desired: Desired, stores: Stores) -> None:
    """Reject a cycle: a Secret that is read into itself, directly or through other Secrets."""
    if source.key == desired.secret and stores.is_own_namespace(StoreKey.of(source.ref, key.namespace)):
        raise Stalled(
            ErrorReason.INVALID_SOURCE,
            f"{name}: {source} is the Secret that this ManagedSecret writes; write another key",
        )
    if source.spreads and (
        way := stores.reference_cycle(source.ref, key.namespace, source.key, desired.secret)
    ):
        raise Stalled(
            ErrorReason.INVALID_SOURCE,
            f"{name}: {source} takes in the Secret that this ManagedSecret writes ({' from '.join(way)}),"
            " so each would grow with the other; read the keys that you need one by one with from",
        )


def _with_lease(kept: ItemValues, lease: StoreLease | None) -> ItemValues:
    return replace(kept, life=Validity(lease.due, lease.ends), lease=lease.id) if lease else kept


def trouble_of(error: errors.StoreError, where: str) -> Wait | Stalled:
    """Map an error of a store to Wait, or to Stalled if it needs manual action."""
    detail = errors.detail_of(error)
    if isinstance(error, errors.NotFound):
        return Stalled(
            ErrorReason.SOURCE_NOT_FOUND, f"{where} does not exist ({detail}); store it, or write another key"
        )
    if isinstance(error, errors.Unreachable) and error.is_lasting:
        return Stalled(ErrorReason.PROVIDER_ERROR, f"{where}: {detail}")
    if isinstance(error, errors.Throttled | errors.Unreachable | errors.Conflict):
        after = timedelta(seconds=max(error.retry_after or 0, _RETRY_DELAY.total_seconds()))
        return Wait(ErrorReason.PROVIDER_ERROR, f"{where}: request failed ({detail}); retrying", after)
    said = (
        f"the store rejects the request ({detail})" if error.is_of_server else f"{error.hint} ({error.code})"
    )
    return Stalled(ErrorReason.PROVIDER_ERROR, f"{where}: {said}")


def _check_value(value: Value, item: Item, source: Source, observed: Observed) -> None:
    """Reject a value that would empty a key, or that is weaker than the class allows."""
    if not value.reveal():
        raise empty(f"{item.name}: {source}")
    least = observed.secret_class.spec.min_length if observed.secret_class else None
    if least and denies(observed.secret_class) and len(value.reveal()) < least:
        name = observed.secret_class.metadata.name if observed.secret_class else ""
        raise Stalled(
            ErrorReason.POLICY_VIOLATION,
            f"{item.name}: {source} is shorter than the {least} characters that class {name} asks for;"
            " store a longer one",
        )


def empty(where: str) -> Stalled:
    return Stalled(
        ErrorReason.EMPTY_VALUE, f"{where} is empty, and the Secret keeps its value; store a value there"
    )


def _spread(source: Source, found: Mapping[str, Value], name: str, desired: Desired) -> ItemValues:
    """Name the keys of all properties; keys of `data` take precedence."""
    if not found:
        raise empty(f"{name}: {source}")
    keys = {property_: f"{source.prefix}{property_}" for property_ in found}
    for number, key in enumerate(keys.values(), 1):
        if not _IS_A_KEY.fullmatch(key) or key.endswith(".previous"):
            # The message does not quote the name, which may itself be confidential.
            raise Stalled(
                ErrorReason.INVALID_KEYS,
                f"{name}: {source} has a property whose name makes no key of a Secret, number {number} of {len(keys)}"
                " there; rename it, or read the others one by one with from",
            )
    return ItemValues(source.text, found, keys).behind(desired.item_keys)


def _key_conflict(values: Mapping[str, ItemValues]) -> Stalled | None:
    """Return an error if two entries of dataFrom have the same key; `core.spec.desired` checks the items of data."""
    writers: dict[str, str] = {}
    for name, kept in values.items():
        for key in kept.keys.values():
            if other := writers.get(key):
                return Stalled(
                    ErrorReason.INVALID_KEYS,
                    f"{other} and {name} both bring the key {key!r}; give one of them another prefix",
                )
            writers[key] = name
    return None


# Values that an earlier object has pushed


async def _read_pushed(destination: Destination, key: ObjectKey, stores: Stores) -> dict[str, Value]:
    """Return the values of a destination by key; none if it does not exist.

    Raises:
        Stalled: It exists and its value cannot be read, so that a new value would replace one that is in use.
        Wait: The store did not answer.
    """
    try:
        found = await stores.inspect(destination.ref, key.namespace, destination.key)
    except errors.UnusableError as error:
        what = (
            f"pushTo: {destination} exists and cannot be read ({errors.detail_of(error)}); make it readable, or"
            " delete it at the store to generate a new value"
        )
        errors.raise_alone(Stalled(ErrorReason.PROVIDER_ERROR, what))
    except errors.NotFound:
        return {}
    except errors.StoreError as error:
        errors.raise_alone(trouble_of(error, f"pushTo: {destination}"))
    return await threadpools.run_for_tenant(key.namespace, _pushed_parts, destination, found.content)


def _pushed_parts(destination: Destination, content: Content) -> dict[str, Value]:
    """Return the pushed values by key; content of another shape counts as absent."""
    try:
        if destination.secret_key is None:
            return properties.parts(content)
        whole = content if isinstance(content, Value) else properties.object_from(content)
    except errors.StoreError:
        return {}
    return {destination.secret_key: whole}


def _found(pushed: Iterable[Mapping[str, Value]], desired: Desired) -> Mapping[str, ItemValues]:
    """Return what the current generators accept among the values of the stores."""
    data = {key: value for one in reversed([*pushed]) for key, value in one.items()}
    found = {}
    for item in desired.items:
        if item.recipe is None or not data.keys() >= set(item.keys.values()):
            continue
        outputs = {output: data[key] for output, key in item.keys.items()}
        generator = generator_for(item.recipe)
        if generator.accepts(outputs):
            found[item.name] = ItemValues(item.recipe.text, outputs, item.keys, generator.life(outputs))
    return found


@dataclass(slots=True)
class PullRecord:
    """Reads of the stores of one ManagedSecret."""

    reading: BackgroundJob[Reading] | None = None
    reading_since: datetime | None = None
    """Start of the current read, or of the last one."""
    last: Reading | None = None
    """The last read; dropped at the end of the pass."""
    failed: Attempts | None = None
    """Why the last reads failed; None after a success."""
    was_read: bool = False
    """Whether the last read succeeded."""
    retained: frozenset[str] = frozenset()
    """Entries of dataFrom for which the last read kept a property that is gone at the store."""
    waiting: frozenset[str] = frozenset()
    """Items that the last read found changed and that wait for a window."""
    asked: str = ""
    """Name of the last read job: generation, triggers and stores that it was for."""
    read_for: frozenset[str] = frozenset()
    """UIDs of the emergencies that the last read was for."""
    due: datetime | None = None
    """When the stores are due for the next read; None before the first observation of this process."""
    stores: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    """UIDs of the stores that the spec names, at the last observation."""


class PullMemory:
    """Reads of stores, by ManagedSecret; values are kept only during a pass."""

    def __init__(self) -> None:
        self._records: dict[ObjectKey, PullRecord] = {}

    def record(self, key: ObjectKey) -> PullRecord:
        return self._records.setdefault(key, PullRecord())

    def reading_since(self, key: ObjectKey) -> datetime | None:
        """Return when the read in progress began; None without one."""
        record = self._records.get(key)
        return record.reading_since if record and record.reading else None

    def retry(self, key: ObjectKey, now: datetime) -> None:
        """Make a failed read due now, because a store has recovered."""
        record = self._records.get(key)
        if record and record.failed:
            record.due = now

    def forget_values(self, key: ObjectKey) -> None:
        if record := self._records.get(key):
            record.last = None

    def stop(self, key: ObjectKey) -> None:
        """Cancel the read in progress."""
        record = self._records.get(key)
        if record and record.reading:
            record.reading.task.cancel()
            record.reading = None

    def forget(self, key: ObjectKey) -> None:
        """Cancel the read of a deleted object, and drop its record."""
        self.stop(key)
        self._records.pop(key, None)
