"""Foreign formats: recognised, streamed, and carried over whole or not at all."""

from .copying import ImportReport, import_data
from .episodes import import_episodes
from .explaining import explain
from .importer import ForeignData, Found, Importer, find_importer, importers

__all__ = [
    "ForeignData",
    "Found",
    "ImportReport",
    "Importer",
    "explain",
    "find_importer",
    "import_data",
    "import_episodes",
    "importers",
]
