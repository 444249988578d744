"""Argo CD's way with Lua: the libraries that it opens, and what it makes of what a script returns."""

from pathlib import Path
from typing import Any

import yaml
from lupa import lua51  # type: ignore[import-untyped]  # ships no stubs

from tests.support.objects import Body

_FOLDER = Path(__file__).parents[2] / "manifests" / "gitops" / "argocd"
SETTINGS: dict[str, str] = yaml.safe_load((_FOLDER / "argocd-cm.yaml").read_text())["data"]

# Argo CD opens base, package and table; `os` is only what `require` gives, and that is these two.
_SANDBOX = """
for name in pairs(_G) do
  if not allowed[name] then _G[name] = nil end
end
local time, date = os.time, os.date
os, allowed = nil, nil
package.loaded = {}
package.preload = {os = function() return {time = time, date = date} end}
getmetatable("").__index = nil
"""
_OPEN = (
    *(
        "assert",
        "error",
        "getmetatable",
        "setmetatable",
        "ipairs",
        "next",
        "pairs",
        "pcall",
        "xpcall",
        "select",
    ),
    *(
        "rawequal",
        "rawget",
        "rawset",
        "require",
        "tonumber",
        "tostring",
        "type",
        "unpack",
        "package",
        "table",
    ),
    *("_G", "_VERSION", "os", "allowed"),
)


def health(body: Body) -> tuple[str, str]:
    """Return the health of an object, and the sentence with it."""
    said = _run(SETTINGS[f"resource.customizations.health.keyturn.dev_{body['kind']}"], body)
    assert said.keys() == {"status", "message"}
    return said["status"], said["message"]


def actions(body: Body) -> dict[str, bool]:
    """Return the actions on an object, and whether each is offered."""
    found = _run(_actions()["discovery.lua"], body)
    return {name: not shown["disabled"] for name, shown in found.items()}


def run_action(name: str, body: Body) -> Body:
    """Return the merge patch by which Argo CD does an action."""
    scripts = {one["name"]: one["action.lua"] for one in definitions()}
    made = _restored(_run(scripts[name], body), body)
    return merge_patch(body, made)


def definitions() -> list[dict[str, str]]:
    """Return every action with its script."""
    found: list[dict[str, str]] = _actions()["definitions"]
    return found


def _actions() -> Any:
    return yaml.safe_load(SETTINGS["resource.customizations.actions.keyturn.dev_ManagedSecret"])


def merge_patch(before: Body, after: Body) -> Body:
    """Return the JSON merge patch that makes `after` of `before`."""
    patch: Body = dict.fromkeys(before.keys() - after.keys())
    for key, value in after.items():
        if isinstance(value, dict) and isinstance(before.get(key), dict):
            if inner := merge_patch(before[key], value):
                patch[key] = inner
        elif key not in before or before[key] != value:
            patch[key] = value
    return patch


def _run(script: str, body: Body) -> Any:
    lua = lua51.LuaRuntime(register_eval=False, register_builtins=False)
    table = lua.table_from(body, recursive=True)
    lua.globals().allowed = lua.table_from(dict.fromkeys(_OPEN, True))
    lua.execute(_SANDBOX)
    lua.globals().obj = table
    return _json(lua.execute(script))


def _json(value: Any) -> Any:
    """Write a table as the library does that Argo CD uses: an empty one is a list."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if lua51.lua_type(value) != "table":
        return value
    keys = list(value.keys())
    if keys == list(range(1, len(keys) + 1)):
        return [_json(value[key]) for key in keys]
    assert all(isinstance(key, str) for key in keys)
    return {key: _json(value[key]) for key in keys}


def _restored(made: Any, given: Any) -> Any:
    """Make the empty lists empty objects again that were some in the object; Argo CD does it too."""
    match made, given:
        case [], dict():
            return given
        case dict(), dict():
            return {key: _restored(value, given.get(key)) for key, value in made.items()}
        case list(), list():
            pairs = [*zip(made, given, strict=False)]
            return [_restored(one, other) for one, other in pairs] + made[len(pairs) :]
    return made
