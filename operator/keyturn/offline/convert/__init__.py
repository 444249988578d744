"""Manifests of External Secrets and mittwald's secret generator as ManagedSecrets: dicts in, dicts and findings out.

Nothing is lost silently: a document is read through `reading.Reader`, which reports every field that was not read.

Modules
    conversion                         all documents, what one names in another, and YAML of the result
    externalsecret, mittwald, stores   one kind of input each
    reading                            findings, and the reader that misses no field

Imports: `runtime`, `core` and `api`.
"""

from .conversion import Conversion, convert, printable, written
from .reading import Weight, grouped

__all__ = ["Conversion", "Weight", "convert", "grouped", "printable", "written"]
