"""Imports what each operator imports at its start, and freezes what is imported; the fork server has it last.

A fork whose garbage collection walks through imported objects copies each of their pages.
"""

from __future__ import annotations

import gc
import importlib

from keyturn import generators
from keyturn.stores import providers

generators.discover()
providers.discover()
for _name in ("keyturn.runtime.memory_protection", "keyturn.templates.engine"):
    importlib.import_module(_name)
gc.collect()
gc.freeze()
