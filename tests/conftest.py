"""What all tests share: checked shapes, and no deadlines.

Pytest reads this file before any test imports a package, in every worker. A package that is
already imported could not be checked any more.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings
from jaxtyping import install_import_hook

#: Packages whose signatures carry the shapes of tensors (jaxtyping); while the tests run, every
#: call is held to them, and to the other types of the signature.
CHECKED = (
    "kinoise.policy.border",
    "kinoise.policy.buffers",
    "kinoise.policy.build",
    "kinoise.policy.checkpoints",
    "kinoise.policy.control",
    "kinoise.policy.denoiser",
    "kinoise.policy.density",
    "kinoise.policy.diffusion_policy",
    "kinoise.policy.encoders",
    "kinoise.policy.guidance",
    "kinoise.policy.networks",
    "kinoise.policy.normalizer",
    "kinoise.policy.paths",
    "kinoise.policy.sampling",
    "kinoise.policy.targets",
    "kinoise.policy.training",
    "kinoise.policy.transforms",
)

sys.path.insert(0, str(Path(__file__).parent))
install_import_hook(CHECKED, "checking.checked")

# A deadline measures how busy the machine is, not the code.
settings.register_profile("kinoise", deadline=None)
settings.load_profile("kinoise")
