"""Writes LeRobot data sets of version 3.0."""

from .exporting import ExportReport, export_data

__all__ = ["ExportReport", "export_data"]
