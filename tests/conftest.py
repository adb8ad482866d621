"""While the tests run, the shapes and types in these packages' signatures are checked.

Pytest reads this file before any test imports a package, in every worker: a package that is
already imported could not be checked any more.
"""

from __future__ import annotations

from jaxtyping import install_import_hook

#: Packages whose public tensors carry their shapes (jaxtyping) in the signature.
CHECKED = (
    "kinoise.policy.encoders",
    "kinoise.policy.networks",
    "kinoise.policy.paths",
)

install_import_hook(CHECKED, "beartype.beartype")
