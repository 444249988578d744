"""Converts a PushSecret to pushTo of the ManagedSecret that generates the Secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from keyturn.api import API_VERSION

from .generators import generated, keys_of
from .items import store_ref
from .metadata import kept, pass_over
from .strict_reader import StrictReader

if TYPE_CHECKING:
    from .findings import Report
    from .inputs import Body, Inputs
    from .refs import StoreRef

__all__ = ["push_secret"]


def push_secret(
    body: Body, inputs: Inputs, report: Report, made: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Add the pushes to the ManagedSecret that was converted before; return new objects."""
    document = StrictReader(body, "", report)
    pass_over(document)
    spec = document.part("spec")
    found, new = _pushed(document, spec, inputs, made)
    if found is None:
        document.ignore("metadata", "spec")  # reported as a whole
        return []
    keys = _keys(found)
    pushes = [push for store in _stores(spec) for push in _pushes(spec, store, keys)]
    if pushes:
        found["spec"].setdefault("pushTo", []).extend(pushes)
    spec.changed("refreshInterval", "is unnecessary: a revision is pushed once, when it is generated")
    for name, why in _WITHOUT.items():
        spec.lost(name, why, "push keys as they are, by data")
    document.part("metadata")
    kept(document.part("metadata"))
    document.report_unread()
    return new


_WITHOUT: Final = {
    "dataTo": "selects and renames keys by a rule",
    "template": "changes values before they are pushed",
}


def _pushed(
    document: StrictReader, spec: StrictReader, inputs: Inputs, made: list[dict[str, Any]]
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Find the ManagedSecret of the pushed Secret, or create one from a generator."""
    metadata, selector = document.part("metadata"), spec.part("selector")
    namespace = metadata.text("namespace") or ""
    if "generatorRef" in selector:
        return _of_generator(document, selector, inputs)
    secret = selector.part("secret")
    name = secret.text("name")
    secret.lost("selector", "chooses Secrets by labels", "write pushTo in the ManagedSecret of each")
    found = next((one for one in made if _secret_of(one) == (namespace, name)), None)
    if found is None:
        document.report.lost(
            "spec",
            f"pushes {f'the Secret {name}' if name else 'Secrets'}, which no ManagedSecret makes; nothing is written",
            "make a ManagedSecret of that Secret (adopt: IfUnowned) with pushTo, or keep the PushSecret",
        )
    elif not any("from" not in item for item in found["spec"].get("data", ())):
        document.report.lost(
            "spec",
            f"pushes the Secret {name}, all of which is pulled; Keyturn pushes generated values only",
            "copy the value to the other store once, or generate it here",
        )
        found = None
    return found, []


def _of_generator(
    document: StrictReader, selector: StrictReader, inputs: Inputs
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    metadata = kept(document.part("metadata"))
    made = generated(selector.part("generatorRef"), metadata.get("namespace", ""), inputs)
    if not made:
        return None, []
    document.report.changed(
        selector.at("generatorRef"),
        f"is a Secret {metadata.get('name')} now as well, with the value that is pushed; it is not generated again",
        "write rotation.every where it is to turn",
    )
    items = [{"name": name, **source} for name, source in made.items()]
    new = {"apiVersion": API_VERSION, "kind": "ManagedSecret", "metadata": metadata, "spec": {"data": items}}
    return new, [new]


def _secret_of(made: dict[str, Any]) -> tuple[str, str]:
    metadata = made["metadata"]
    name = made["spec"].get("target", {}).get("name") or metadata.get("name")
    return metadata.get("namespace", ""), name


def _keys(made: dict[str, Any]) -> frozenset[str]:
    """Return the generated keys, as far as their names are known."""
    items = [item for item in made["spec"].get("data", ()) if "from" not in item]
    return frozenset(key for item in items for key in keys_of(item["name"], item).values())


def _stores(spec: StrictReader) -> list[StoreRef]:
    found = []
    for part in spec.parts("secretStoreRefs"):
        part.lost("labelSelector", "chooses stores by labels", "write pushTo for each store")
        if store := store_ref(part):
            found.append(store)
    return found


def _pushes(spec: StrictReader, store: StoreRef, keys: frozenset[str]) -> list[dict[str, Any]]:
    how = _how(spec)
    by_key: dict[str, dict[str, str]] = {}
    pushes = []
    for entry in spec.parts("data"):
        match = entry.part("match")
        key, remote = match.text("secretKey"), match.part("remoteRef")
        remote_key, name = remote.text("remoteKey") or "", remote.text("property")
        _report_on_loss(entry)
        if key and key not in keys:
            entry.report.lost(
                match.at("secretKey"),
                f"{key} is not generated here, and is left out",
                "push a generated value",
            )
        elif name is None:
            pushes.append(_push(store, remote_key, {"secretKey": key} if key else {}, how))
        else:
            by_key.setdefault(remote_key, {})[name] = key or ""
    for remote_key, properties in by_key.items():
        if properties.keys() != keys or any(name != key for name, key in properties.items()):
            spec.report.lost(
                spec.at("data"),
                f"pushes properties of {remote_key} that are not the keys of the Secret one by one;"
                " all of its keys are pushed as properties",
                "name the items of data like the properties, or push each value under a key of its own",
            )
        pushes.append(_push(store, remote_key, {}, how))
    return pushes


def _report_on_loss(entry: StrictReader) -> None:
    entry.lost(
        "metadata", "is written to the store by External Secrets, not by Keyturn", "set it at the store"
    )
    entry.lost_unless("None", "conversionStrategy", "respells keys", "name the items of data as wanted")


def _how(spec: StrictReader) -> dict[str, str]:
    how = {}
    if spec.text("updatePolicy") == "IfNotExists":
        how["updatePolicy"] = "IfNotExists"
    if spec.text("deletionPolicy") == "Delete":
        how["deletionPolicy"] = "Delete"
    return how


def _push(store: StoreRef, key: str, what: dict[str, str], how: dict[str, str]) -> dict[str, Any]:
    return {"storeRef": store.body, "remoteRef": {"key": key}, **what, **how}
