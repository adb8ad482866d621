"""What all tests share: checked shapes, and no deadlines.

Pytest reads this file before any test imports a package, in every worker. A package that is
already imported could not be checked any more.
"""

from __future__ import annotations

from hypothesis import settings
from jaxtyping import install_import_hook

#: Packages whose signatures carry the shapes of tensors (jaxtyping); while the tests run, every
#: call is held to them, and to the other types of the signature.
CHECKED = (
    "kinoise.policy.encoders",
    "kinoise.policy.networks",
    "kinoise.policy.paths",
)

install_import_hook(CHECKED, "beartype.beartype")

# A deadline measures how busy the machine is, not the code.
settings.register_profile("kinoise", deadline=None)
settings.load_profile("kinoise")
