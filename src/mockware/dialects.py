"""The conventions by which services tell of an accepted task, each as its own clients demand it.

Law: one row for each; a new one is a file beside the others and a row here. It exports its `Dialect` and
nothing that another would need: what two of them share is in `dialect.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from .azure_dialect import AZURE
from .dialect import Dialect
from .google_dialect import GOOGLE
from .jsonapi_dialect import JSONAPI
from .odata_dialect import ODATA
from .ogc_dialect import OGC
from .plain_dialect import GITHUB, PLAIN

DIALECTS: Mapping[str, Dialect] = {
    "plain": PLAIN,
    "azure": AZURE,
    "google": GOOGLE,
    "jsonapi": JSONAPI,
    "odata": ODATA,
    "github": GITHUB,
    "ogc": OGC,
}
