"""Foreign formats: recognised, streamed, and carried over whole or not at all."""

from .copying import ImportReport, import_data
from .importer import ForeignData, Importer, find_importer, importers

__all__ = ["ForeignData", "ImportReport", "Importer", "find_importer", "import_data", "importers"]
