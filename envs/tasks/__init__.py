"""Our own tasks, a folder each.

A folder's `__init__.py` declares the task as its `SPEC` and imports nothing heavy; beside it stand
the task, its MJCF, its scripted expert and what is that task's alone.
"""
