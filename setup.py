"""Compute the package list: every folder below the five rooms becomes `kinoise.<folder>`."""

from pathlib import Path

from setuptools import setup

ROOMS = ("policy", "envs", "datasets", "configs", "scripts")


def packages() -> list[str]:
    """Return the dotted name of every room and of every folder below it."""
    folders = [Path(room) for room in ROOMS]
    folders += [path for room in ROOMS for path in sorted(Path(room).rglob("*")) if path.is_dir()]
    return [
        ".".join(("kinoise", *folder.parts))
        for folder in folders
        if "__pycache__" not in folder.parts
    ]


setup(packages=packages())
