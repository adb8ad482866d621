"""LeRobot's data sets: version 2 and 3 are read, version 3 is written.

Format (LeRobot, the reference code's `datasets/utils.py`): `meta/info.json` describes
the features, parquet files hold numbers and pictures, mp4 files hold video. Version 2.1 has one
file an episode; version 3.0 joins many episodes in a file.
"""

from .reading import IMPORTER
from .writer import ExportReport, export_data

__all__ = ["IMPORTER", "ExportReport", "export_data"]
