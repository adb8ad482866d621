"""Building from configuration: only our own code, only clear errors."""

from __future__ import annotations

import pytest

from kinoise.policy.build import build
from kinoise.policy.errors import PolicyError
from kinoise.policy.paths import VPCosine


def test_a_node_becomes_its_object_and_plain_data_stay_data() -> None:
    tree = {"path": {"_target_": "kinoise.policy.paths.VPCosine", "offset": 0.1}, "n": [1, "a"]}
    assert build(tree) == {"path": VPCosine(0.1), "n": [1, "a"]}


def test_partial_gives_a_factory() -> None:
    factory = build({"_target_": "kinoise.policy.paths.VPCosine", "_partial_": True})
    assert factory(offset=0.2) == VPCosine(0.2)


@pytest.mark.parametrize(
    "target", ["os.system", "builtins.eval", "kinoise.policyx.a", "torch.load"]
)
def test_code_outside_the_package_is_refused(target: str) -> None:
    with pytest.raises(PolicyError, match="refusing to build"):
        build({"_target_": target, "command": "true"})


def test_a_trusted_package_may_be_named() -> None:
    assert build({"_target_": "collections.Counter"}, allow=["collections"]) == {}


def test_wrong_arguments_and_absent_classes_are_named() -> None:
    with pytest.raises(PolicyError, match="offst"):
        build({"_target_": "kinoise.policy.paths.VPCosine", "offst": 1})
    with pytest.raises(PolicyError, match="nothing to build"):
        build({"_target_": "kinoise.policy.paths.Cosine"})
