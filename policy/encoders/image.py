"""Camera images as a condition: ResNet-18 with GroupNorm, spatial softmax, random crop."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor, nn

from ..errors import PolicyError
from .encoder import Encoder, Observations, Shapes, is_image

#: Pixels of the image a pixel of the trunk's feature map stands for.
STRIDE = 32
_CHANNELS_PER_GROUP = 16


class ImageEncoder(Encoder):
    """One residual network for each camera, as in Diffusion Policy (Chi et al. 2023, section 3.2).

    An image is cropped (at random in training, in the centre in evaluation), scaled to [-1, 1],
    and reduced to the expected positions of `n_keypoints` learned features. GroupNorm, because
    the running statistics of BatchNorm do not go with an exponential average of the weights.

    Args:
        shapes: `(h, w, 3)` for each camera's key, in the order of concatenation.
        feature_dim: features of one camera; Dc is their sum over the cameras.
        width: channels of the first stage (64 in ResNet-18).
        n_keypoints: of the spatial softmax.
        crop_fraction: side of the crop over the side of the image, in (0, 1].

    Raises:
        PolicyError: a shape is no image or too small, or `crop_fraction` is not in (0, 1].
    """

    def __init__(
        self,
        shapes: Shapes,
        feature_dim: int = 64,
        width: int = 64,
        n_keypoints: int = 32,
        crop_fraction: float = 0.9,
    ) -> None:
        super().__init__()
        _check_shapes(shapes)
        if not 0.0 < crop_fraction <= 1.0:
            raise PolicyError(f"crop_fraction={crop_fraction} must lie in (0, 1]")

        self.keys = tuple(shapes)
        self.output_dim = feature_dim * len(shapes)
        self.crops = tuple(
            (max(1, round(h * crop_fraction)), max(1, round(w * crop_fraction)))
            for h, w, _ in shapes.values()
        )
        for key, crop in zip(self.keys, self.crops, strict=True):
            # On a feature map of one pixel the softmax is constant: the camera would be blind.
            if max(crop) <= STRIDE:
                raise PolicyError(
                    f"image '{key}' is too small: a side of its crop {crop} must exceed {STRIDE} px"
                )

        self.cameras = nn.ModuleList(  # a list, for a key may hold a dot
            _camera(feature_dim, width, n_keypoints) for _ in shapes
        )

    def forward(self, obs: Observations) -> Float[Tensor, "B To Dc"]:
        """Return the condition that images, each uint8 `[B, To, h, w, 3]`, give.

        Raises:
            PolicyError: an image is not uint8.
        """
        crop = random_crop if self.training else centre_crop
        features = []
        for key, size, camera in zip(self.keys, self.crops, self.cameras, strict=True):
            images = obs[key]
            if images.dtype != torch.uint8:
                raise PolicyError(f"image '{key}' is {images.dtype}; it must be uint8, 0 to 255")

            pixels = crop(images, size).flatten(0, 1).permute(0, 3, 1, 2)
            scaled = _scale(pixels, next(camera.parameters()).dtype)
            features.append(camera(scaled).unflatten(0, images.shape[:2]))
        return torch.cat(features, dim=-1)


def _check_shapes(shapes: Shapes) -> None:
    """Refuse what is not an image."""
    if not shapes:
        raise PolicyError("the image encoder has no observation key to read")
    for key, shape in shapes.items():
        if not is_image(shape) or shape[-1] != 3:
            raise PolicyError(f"image '{key}' has the shape {shape}; it must be (h, w, 3)")


def random_crop(
    images: Shaped[Tensor, "B To h w C"], size: tuple[int, int]
) -> Shaped[Tensor, "B To {size[0]} {size[1]} C"]:
    """Cut `size` out of the images, at a uniformly random place of each sample.

    All To images of one sample are cut at the same place, so that motion is kept. The places come
    from torch's default generator.
    """
    batch, n_steps, height, width, _ = images.shape
    device = images.device

    top = torch.randint(height - size[0] + 1, (batch, 1), device=device)
    left = torch.randint(width - size[1] + 1, (batch, 1), device=device)

    rows = (top + torch.arange(size[0], device=device)).view(batch, 1, -1, 1)
    columns = (left + torch.arange(size[1], device=device)).view(batch, 1, 1, -1)
    samples = torch.arange(batch, device=device).view(batch, 1, 1, 1)
    steps = torch.arange(n_steps, device=device).view(1, -1, 1, 1)
    return images[samples, steps, rows, columns]


def centre_crop(
    images: Shaped[Tensor, "B To h w C"], size: tuple[int, int]
) -> Shaped[Tensor, "B To {size[0]} {size[1]} C"]:
    """Cut `size` out of the centre of the images."""
    top = (images.shape[2] - size[0]) // 2
    left = (images.shape[3] - size[1]) // 2
    return images[:, :, top : top + size[0], left : left + size[1]]


def _scale(pixels: UInt8[Tensor, "N 3 h w"], dtype: torch.dtype) -> Float[Tensor, "N 3 h w"]:
    """Map 0..255 to [-1, 1]."""
    return pixels.to(dtype) / 127.5 - 1.0


def _camera(feature_dim: int, width: int, n_keypoints: int) -> nn.Sequential:
    """Make the network that turns `[N, 3, h, w]` into `[N, feature_dim]`."""
    return nn.Sequential(
        resnet18(width),
        SpatialSoftmax(8 * width, n_keypoints),
        nn.Linear(2 * n_keypoints, feature_dim),
    )


def resnet18(width: int = 64) -> nn.Sequential:
    """Make ResNet-18's trunk (He et al. 2016) with GroupNorm.

    It turns `[N, 3, h, w]` into `[N, 8 width, h / 32, w / 32]`. Each of the four stages has two
    residual blocks; all but the first stage halve the image and double the channels.
    """
    stem = [
        nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
        _norm(width),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
    ]

    stages: list[nn.Module] = []
    in_dim = width
    for stage in range(4):
        out_dim = width * 2**stage
        stages.append(ResidualBlock2d(in_dim, out_dim, stride=1 if stage == 0 else 2))
        stages.append(ResidualBlock2d(out_dim, out_dim, stride=1))
        in_dim = out_dim

    trunk = nn.Sequential(*stem, *stages)
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return trunk


class ResidualBlock2d(nn.Module):
    """Two 3x3 convolutions with GroupNorm, and a skip connection.

    Args:
        in_dim: C_in.
        out_dim: C_out.
        stride: by how much the image shrinks.
    """

    def __init__(self, in_dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_dim, out_dim, 3, stride=stride, padding=1, bias=False),
            _norm(out_dim),
            nn.ReLU(),
            nn.Conv2d(out_dim, out_dim, 3, padding=1, bias=False),
            _norm(out_dim),
        )
        same = in_dim == out_dim and stride == 1
        project = nn.Conv2d(in_dim, out_dim, 1, stride=stride, bias=False)
        self.skip = nn.Identity() if same else nn.Sequential(project, _norm(out_dim))

    def forward(self, h: Float[Tensor, "N C_in h w"]) -> Float[Tensor, "N C_out h_out w_out"]:
        """Return the features after the block."""
        return F.relu(self.body(h) + self.skip(h))


class SpatialSoftmax(nn.Module):
    """Expected position of each of K learned features (Finn et al. 2016).

    Args:
        in_dim: channels C of the feature map.
        n_keypoints: K.
    """

    def __init__(self, in_dim: int, n_keypoints: int) -> None:
        super().__init__()
        self.scores = nn.Conv2d(in_dim, n_keypoints, 1, bias=False)

    def forward(self, features: Float[Tensor, "N C h w"]) -> Float[Tensor, "N xy"]:
        """Return x, then y, of each keypoint; the pixels' centres lie in (-1, 1)."""
        scores = self.scores(features)
        attention = scores.flatten(2).softmax(dim=-1).view(scores.shape)
        x = attention.sum(dim=2) @ _centres(scores.shape[3], attention)
        y = attention.sum(dim=3) @ _centres(scores.shape[2], attention)
        return torch.stack([x, y], dim=-1).flatten(1)


def _centres(n: int, like: Tensor) -> Tensor:
    """Return the centres of n pixels that fill [-1, 1]."""
    return (2.0 * torch.arange(n, dtype=like.dtype, device=like.device) + 1.0) / n - 1.0


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(max(1, channels // _CHANNELS_PER_GROUP), channels)
