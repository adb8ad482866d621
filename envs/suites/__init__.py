"""Other people's tasks, one adapter a suite; each module declares its task as `SPEC`.

A suite's own package is imported when an environment is made, not before.
"""
