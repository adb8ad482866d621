"""What holds calls to their annotations while the tests run (see `conftest.CHECKED`)."""

from __future__ import annotations

from beartype import BeartypeConf, beartype

#: As for mypy, a whole number is a `float` too (PEP 484).
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
