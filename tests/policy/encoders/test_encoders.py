"""Observation encoders: state, images, both."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import TypeCheckError
from torch import Tensor, nn

from kinoise.policy.encoders import CompositeEncoder, ImageEncoder, StateEncoder
from kinoise.policy.encoders.image import (
    ResidualBlock2d,
    SpatialSoftmax,
    centre_crop,
    random_crop,
    resnet18,
)
from kinoise.policy.errors import PolicyError

B, TO, SIDE = 4, 2, 40
STATE = {"agent_pos": (2,), "keypoint": (9, 2)}
IMAGES = {"observation.images.top": (SIDE, SIDE, 3), "wrist": (SIDE, SIDE, 3)}
tiny_images = partial(ImageEncoder, feature_dim=6, width=8, n_keypoints=4)


def observe(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        key: torch.randint(0, 256, (B, TO, *shape), dtype=torch.uint8, generator=generator)
        if len(shape) == 3
        else torch.randn(B, TO, *shape, generator=generator)
        for key, shape in shapes.items()
    }


def numbered(batch: int, steps: int, height: int, width: int) -> Tensor:
    """Images in which every pixel of a frame is another number, the same in every frame."""
    frame = torch.arange(height * width).view(1, 1, height, width, 1)
    return frame.expand(batch, steps, -1, -1, 3)


def test_the_state_encoder_concatenates_the_flattened_keys() -> None:
    encoder, obs = StateEncoder(STATE), observe(STATE)
    assert encoder.output_dim == 20
    expected = torch.cat([obs["agent_pos"], obs["keypoint"].flatten(2)], dim=-1)
    assert torch.equal(encoder(obs), expected)


def test_the_state_encoder_ends_with_its_last_hidden_size() -> None:
    encoder = StateEncoder(STATE, hidden_dims=[16, 7])
    assert encoder.output_dim == 7
    assert encoder(observe(STATE)).shape == (B, TO, 7)


def test_the_state_encoder_refuses_images_and_nothing() -> None:
    with pytest.raises(PolicyError, match=r"cannot read images.*use encoder=image"):
        StateEncoder({**STATE, **IMAGES})
    with pytest.raises(PolicyError, match="no observation key"):
        StateEncoder({})


def test_the_image_encoder_gives_features_of_every_camera() -> None:
    encoder = tiny_images(IMAGES)
    assert encoder.output_dim == 12
    assert encoder(observe(IMAGES)).shape == (B, TO, 12)


def test_in_evaluation_an_image_is_encoded_alone_and_the_same_every_time() -> None:
    torch.manual_seed(0)
    encoder, obs = tiny_images(IMAGES).eval(), observe(IMAGES)
    features = encoder(obs)
    assert torch.equal(features, encoder(obs))
    for i in range(B):
        row = encoder({key: value[i : i + 1] for key, value in obs.items()})
        torch.testing.assert_close(features[i : i + 1], row, rtol=1e-4, atol=1e-5)


def test_in_training_the_crop_follows_torchs_generator() -> None:
    encoder, obs = tiny_images(IMAGES), observe(IMAGES)
    torch.manual_seed(3)
    first, second = encoder(obs), encoder(obs)
    torch.manual_seed(3)
    assert torch.equal(first, encoder(obs))
    assert not torch.equal(first, second)


def test_gradient_reaches_every_parameter_of_the_image_encoder() -> None:
    torch.manual_seed(0)
    # Large enough that the last feature map has more than one pixel.
    encoder = ImageEncoder({"wrist": (72, 72, 3)}, feature_dim=6, width=16, n_keypoints=4)
    encoder(observe({"wrist": (72, 72, 3)})).square().sum().backward()
    still = [
        key
        for key, parameter in encoder.named_parameters()
        if parameter.grad is None or parameter.grad.abs().max() == 0
    ]
    assert not still


def test_the_image_encoder_refuses_what_is_not_an_image() -> None:
    with pytest.raises(PolicyError, match=r"'agent_pos' has the shape \(2,\); it must be"):
        tiny_images(STATE)
    with pytest.raises(PolicyError, match=r"crop_fraction=0\.0 must lie"):
        tiny_images(IMAGES, crop_fraction=0.0)
    floats = {key: value.float() for key, value in observe(IMAGES).items()}
    with pytest.raises(PolicyError, match=r"torch\.float32; it must be uint8"):
        tiny_images(IMAGES)(floats)


def test_a_random_crop_is_one_window_of_the_image_the_same_at_every_step() -> None:
    torch.manual_seed(0)
    crops = random_crop(numbered(64, 3, 9, 11), (6, 7))
    assert crops.shape == (64, 3, 6, 7, 3)
    corner = crops[:, :1, :1, :1, :1]
    window = torch.arange(6)[:, None] * 11 + torch.arange(7)
    assert torch.equal(crops, (corner + window[None, None, :, :, None]).expand_as(crops))
    top, left = corner.flatten() // 11, corner.flatten() % 11
    assert set(top.tolist()) == set(range(4))
    assert set(left.tolist()) == set(range(5))


def test_a_centre_crop_leaves_equal_margins() -> None:
    crop = centre_crop(numbered(1, 1, 9, 11), (5, 7))
    assert crop[0, 0, 0, 0, 0] == 2 * 11 + 2
    assert crop[0, 0, -1, -1, 0] == 6 * 11 + 8


def test_the_spatial_softmax_finds_a_bright_pixel() -> None:
    layer = SpatialSoftmax(1, 1)
    with torch.no_grad():
        layer.scores.weight.fill_(1.0)
    features = torch.zeros(1, 1, 4, 8)
    features[0, 0, 1, 6] = 100.0
    x, y = layer(features)[0].tolist()
    assert x == pytest.approx((2 * 6 + 1) / 8 - 1)
    assert y == pytest.approx((2 * 1 + 1) / 4 - 1)


def test_the_spatial_softmax_of_a_flat_map_is_the_centre() -> None:
    assert SpatialSoftmax(3, 5)(torch.ones(2, 3, 4, 6)).abs().max() < 1e-6


def test_the_trunk_has_the_parameters_of_resnet18() -> None:
    """torchvision's resnet18 has 11 689 512 parameters, 513 000 of them in its last Linear."""
    with torch.device("meta"):
        trunk = resnet18()
    assert sum(parameter.numel() for parameter in trunk.parameters()) == 11_689_512 - 513_000


def test_state_and_images_share_one_encoder() -> None:
    encoder = CompositeEncoder({**IMAGES, **STATE}, state=StateEncoder, image=tiny_images)
    obs = observe({**STATE, **IMAGES})
    encoder.eval()
    condition = encoder(obs)
    assert encoder.output_dim == 32
    assert condition.shape == (B, TO, 32)
    assert torch.equal(condition[..., :20], StateEncoder(STATE)(obs))


@pytest.mark.parametrize(("shapes", "output_dim"), [(STATE, 20), (IMAGES, 12)])
def test_an_absent_group_of_keys_needs_no_encoder(
    shapes: dict[str, tuple[int, ...]], output_dim: int
) -> None:
    encoder = CompositeEncoder(shapes, state=StateEncoder, image=tiny_images)
    assert encoder.output_dim == output_dim
    assert encoder(observe(shapes)).shape == (B, TO, output_dim)


def test_an_encoder_of_no_keys_is_refused() -> None:
    with pytest.raises(PolicyError, match="no observation key"):
        CompositeEncoder({}, state=StateEncoder, image=tiny_images)


def test_an_image_too_small_to_hold_a_position_is_refused() -> None:
    with pytest.raises(PolicyError, match="too small"):
        ImageEncoder({"wrist": (32, 32, 3)}, width=8)


def test_the_perceptron_of_the_state_has_an_activation_between_its_layers_only() -> None:
    torch.manual_seed(0)
    encoder = StateEncoder(STATE, hidden_dims=[16, 7])
    first, activation, last = encoder.mlp
    assert isinstance(activation, nn.SiLU)
    obs = observe(STATE)
    state = torch.cat([obs["agent_pos"], obs["keypoint"].flatten(2)], dim=-1)
    assert torch.equal(encoder(obs), last(F.silu(first(state))))


def test_an_image_is_encoded_as_its_centre_from_minus_one_to_one() -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder({"wrist": (60, 48, 3)}, feature_dim=6, width=8, n_keypoints=4).eval()
    obs = observe({"wrist": (60, 48, 3)})
    height, width = 54, 43  # nine tenths, rounded
    pixels = obs["wrist"][:, :, 3 : 3 + height, 2 : 2 + width].flatten(0, 1).permute(0, 3, 1, 2)
    scaled = 2 * (pixels.float() / 255) - 1
    expected = encoder.cameras[0](scaled).view(B, TO, 6)
    torch.testing.assert_close(encoder(obs), expected, rtol=1e-4, atol=1e-5)


def test_cameras_are_encoded_by_networks_of_their_own_in_the_order_of_the_keys() -> None:
    torch.manual_seed(0)
    encoder, obs = tiny_images(IMAGES).eval(), observe(IMAGES)
    changed = {**obs, "wrist": 255 - obs["wrist"]}
    before, after = encoder(obs), encoder(changed)
    assert torch.equal(before[..., :6], after[..., :6])
    assert (before[..., 6:] - after[..., 6:]).abs().max() > 1e-4


def test_a_residual_block_is_two_normed_convolutions_beside_a_skip_connection() -> None:
    torch.manual_seed(0)
    block = ResidualBlock2d(32, 64, stride=2)
    h = torch.randn(2, 32, 8, 8)
    first, _, _, second, _ = block.body
    y = F.relu(F.group_norm(F.conv2d(h, first.weight, stride=2, padding=1), 4))
    y = F.group_norm(F.conv2d(y, second.weight, padding=1), 4)
    skip = F.group_norm(F.conv2d(h, block.skip[0].weight, stride=2), 4)
    torch.testing.assert_close(block(h), F.relu(y + skip), rtol=1e-4, atol=1e-4)
    assert isinstance(ResidualBlock2d(32, 32, stride=1).skip, nn.Identity)


def test_the_trunks_convolutions_keep_the_variance_of_the_gradient() -> None:
    """He et al. 2015: weights of variance 2 / fan-out."""
    torch.manual_seed(0)
    first = resnet18(32)[0]
    assert isinstance(first, nn.Conv2d)
    assert first.weight.std().item() == pytest.approx((2 / (32 * 7 * 7)) ** 0.5, rel=0.05)


def test_the_trunk_shrinks_an_image_by_32_and_widens_it_to_eight_times_its_width() -> None:
    assert resnet18(8)(torch.zeros(1, 3, 64, 96)).shape == (1, 64, 2, 3)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.bfloat16, 0.2)])
def test_a_cast_encoder_answers_in_its_own_type(dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    state = partial(StateEncoder, hidden_dims=[16, 7])
    encoder = CompositeEncoder({**STATE, **IMAGES}, state=state, image=tiny_images).eval()
    obs = observe({**STATE, **IMAGES})
    exact = encoder(obs)
    condition = encoder.to(dtype)(obs)
    assert condition.dtype == dtype
    assert (condition.to(exact) - exact).norm() < tolerance * exact.norm()


def test_observations_of_another_shape_are_refused_while_the_tests_run() -> None:
    with pytest.raises(TypeCheckError):
        StateEncoder({"agent_pos": (2,)})({"agent_pos": torch.zeros(B)})
    with pytest.raises(TypeCheckError):
        centre_crop(torch.zeros(2, 8, 8, 3), (4, 4))
