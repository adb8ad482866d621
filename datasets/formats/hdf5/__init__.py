"""Formats that are kept in HDF5 files; `reading.py` is what they share."""
