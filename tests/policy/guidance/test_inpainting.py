"""Parts of a chunk held to known actions."""

from __future__ import annotations

import math

import pytest
import tiny
import torch
from oracles import Mixture
from registry import every_path
from tilted import edited
from torch import Tensor

from kinoise.policy.errors import PolicyError
from kinoise.policy.guidance import Inpainting, PseudoInverse, prefix_weights
from kinoise.policy.paths import LinearFlow, Path

STANDARD = Mixture(*(torch.tensor([value], dtype=torch.float64) for value in (1.0, 0.0, 1.0)))


def _chunks(size: int) -> Tensor:
    """Actions of the tiny policy's units, within its data's range."""
    return torch.rand(size, 8, 2, generator=torch.Generator().manual_seed(5)) * 4 - 1


def test_a_prefix_comes_out_as_it_went_in_and_shapes_the_rest() -> None:
    policy, obs = tiny.policy().eval(), tiny.batch(0, size=3)["obs"]
    known = _chunks(3)
    plain = policy.sample(obs, torch.Generator().manual_seed(0))
    edit = Inpainting(known, prefix_weights(8, 3))
    chunk = policy.sample(obs, torch.Generator().manual_seed(0), guidance=[edit])
    torch.testing.assert_close(chunk[:, :3], known[:, :3])
    assert (chunk[:, 3:] - plain[:, 3:]).abs().max() > 1e-3


def test_any_mask_may_differ_from_row_to_row_and_nan_is_free() -> None:
    policy, obs = tiny.policy().eval(), tiny.batch(0, size=3)["obs"]
    known = _chunks(3)
    mask = torch.rand(3, 8, 2, generator=torch.Generator().manual_seed(6)) < 0.5
    by_mask, by_nan = (
        policy.sample(obs, torch.Generator().manual_seed(0), guidance=[edit])
        for edit in (Inpainting(known, mask), Inpainting(known.where(mask, torch.nan)))
    )
    torch.testing.assert_close(by_mask[mask], known[mask])
    torch.testing.assert_close(by_mask, by_nan)
    assert not torch.allclose(by_mask[~mask], known[~mask], atol=0.1)
    alone = policy.sample(
        {key: value[:1] for key, value in obs.items()},
        [torch.Generator().manual_seed(4)],
        guidance=[Inpainting(known[0], mask[0])],
    )
    torch.testing.assert_close(alone[0][mask[0]], known[0][mask[0]])


def test_soft_weights_lie_between() -> None:
    path, t = LinearFlow(), torch.tensor(0.5, dtype=torch.float64)
    x = torch.linspace(-1, 1, 16, dtype=torch.float64)
    denoise = STANDARD.denoiser(path)

    def blended(weight: float) -> Tensor:
        return edited(denoise, path, [Inpainting(torch.full((8, 2), 0.3), weight)], None, 8, 2)(
            x, t
        )

    assert torch.equal(blended(0.0), denoise(x, t))
    torch.testing.assert_close(blended(0.25), 0.75 * denoise(x, t) + 0.25 * 0.3)


@every_path
def test_pseudo_inverse_conditions_independent_normal_data_exactly(path: Path) -> None:
    """With unit variance r is exact: the known entries are met, the free ones untouched."""
    known = torch.full((8, 1), torch.nan, dtype=torch.float64)
    known[2:5, 0] = torch.tensor([0.5, -1.0, 2.0])
    edit = PseudoInverse(known, limit=math.inf)
    guide = edited(STANDARD.denoiser(path), path, [edit], horizon=8)
    x = torch.randn(24, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for t in (0.02, 0.5, 0.97):
        time = torch.tensor(t, dtype=torch.float64)
        chunk = guide(x, time).reshape(3, 8)
        torch.testing.assert_close(chunk[:, 2:5], known[2:5, 0].expand(3, 3))
        free = STANDARD.denoiser(path)(x, time).reshape(3, 8)
        assert torch.equal(chunk[:, 5:], free[:, 5:])


@every_path
def test_pseudo_inverse_moves_what_belongs_together(path: Path) -> None:
    """Two entries that are equal in the data: holding one moves the other as far."""

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        # x_0 = (u, u) with u standard normal, seen twice.
        mean = path.alpha(t) * x.sum(1, keepdim=True)
        return (mean / (2 * path.alpha(t) ** 2 + path.sigma(t) ** 2)).expand_as(x)

    known = torch.tensor([[1.0], [torch.nan]], dtype=torch.float64)
    x, t = torch.tensor([0.2, -0.1], dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    change = edited(denoise, path, [PseudoInverse(known)], horizon=2)(x, t) - denoise(
        x.reshape(1, 2, 1), t
    ).reshape(2)
    assert change[0] > 0.1
    torch.testing.assert_close(change[0], change[1])


def test_pseudo_inverse_is_the_guidance_of_real_time_chunking() -> None:
    """Black et al. 2025, eqs. 2-4, whose tau is 1 - t: the velocity gains
    (1 - tau) / (tau r^2) D^T w (y - x_0), r^2 = (1 - tau)^2 / (tau^2 + (1 - tau)^2)."""
    policy, obs = tiny.policy().eval(), tiny.batch(0, size=2)["obs"]
    known, weights = _chunks(2), prefix_weights(8, 2, 2)
    seen = []

    def before(estimate: object) -> Tensor:
        seen.append(estimate.sample.detach())  # type: ignore[attr-defined]
        return estimate.sample  # type: ignore[attr-defined, no-any-return]

    class After:
        needs_gradient, needs_unconditional = True, False

        def __call__(self, estimate: object) -> Tensor:
            seen.extend([estimate.sample.detach(), estimate.x.detach()])  # type: ignore[attr-defined]
            return estimate.sample  # type: ignore[attr-defined, no-any-return]

    edit = PseudoInverse(known, weights, limit=math.inf)
    policy.sample(obs, torch.Generator().manual_seed(0), guidance=[before, edit, After()])
    plain, guided, x = seen[6:9]  # the third row of the table: t = .5
    tau, y = 0.5, policy.normalizer.normalize("action", known)
    estimator = policy.estimator(obs)
    _, product = torch.autograd.functional.vjp(
        lambda x: estimator(x, torch.tensor([1 - tau])), x, weights * (y - plain)
    )
    r2 = (1 - tau) ** 2 / (tau**2 + (1 - tau) ** 2)
    velocity_gain = (1 - tau) / (tau * r2) * product
    torch.testing.assert_close(guided - plain, (1 - tau) * velocity_gain, rtol=1e-4, atol=1e-5)


def test_pseudo_inverse_brings_a_chunk_closer_to_what_is_known() -> None:
    policy, obs = tiny.policy().eval(), tiny.batch(0, size=4)["obs"]
    known, weights = _chunks(4), prefix_weights(8, 3)
    plain = policy.sample(obs, torch.Generator().manual_seed(0))
    edit = PseudoInverse(known, weights)
    guided = policy.sample(obs, torch.Generator().manual_seed(0), guidance=[edit])
    assert (guided - known)[:, :3].norm() < 0.7 * (plain - known)[:, :3].norm()


def test_prefix_weights_fall_from_one_to_zero() -> None:
    assert prefix_weights(5, 2)[:, 0].tolist() == [1, 1, 0, 0, 0]
    soft = prefix_weights(8, 2, 2)[:, 0]
    assert soft[:2].tolist() == [1, 1]
    assert soft[6:].tolist() == [0, 0]
    assert (soft[1:7].diff() < 0).all()
    c = torch.tensor([4, 3, 2, 1]) / 5  # (H - n_free - i) / (H - n_free - n_fixed + 1)
    torch.testing.assert_close(soft[2:6], c * torch.expm1(c) / math.expm1(1))
    assert prefix_weights(4, 4)[:, 0].tolist() == [1, 1, 1, 1]
    with pytest.raises(PolicyError, match="do not fit horizon 8"):
        prefix_weights(8, 5, 4)
