"""Imports and loads what operators and audits need, and freezes it; the fork server has it last.

A fork whose garbage collection walks through imported objects copies each of their pages.
"""

import gc
import importlib

from keyturn import generators
from keyturn.checklist.strength_estimate import bits_of
from keyturn.stores import providers

generators.discover()
providers.discover()
for _name in ("keyturn.runtime.memory_protection", "keyturn.templates.engine"):
    importlib.import_module(_name)
bits_of("a word")
gc.collect()
gc.freeze()
