"""Faults in backbones and encoders."""

from __future__ import annotations

from .row import Change, Target

NETWORKS = [
    Target(
        "policy/networks/layers/embeddings.py",
        "tests/policy/networks/test_embeddings.py",
        [
            Change(
                "time features x 1 instead of x 1000", "TIME_SCALE = 1000.0", "TIME_SCALE = 1.0"
            ),
            Change(
                "the slowest frequency is a hundredth",
                "_MAX_PERIOD = 10_000.0",
                "_MAX_PERIOD = 100.0",
            ),
            Change(
                "the sinusoid is of half precision",
                "dtype = torch.promote_types(t.dtype, torch.float32)",
                "dtype = t.dtype",
                tests="tests/policy/networks/test_networks.py"
                "::test_the_sinusoid_of_a_bfloat16_time_is_float32",
            ),
        ],
    ),
    Target(
        "policy/networks/transformer.py",
        "tests/policy/networks/test_networks.py::test_a_causal_transformer_does_not_look_ahead",
        [
            Change(
                "a causal transformer looks ahead at observations",
                "seen = torch.ones(horizon, n_obs_steps).tril()",
                "seen = torch.ones(horizon, n_obs_steps)",
            ),
        ],
    ),
    Target(
        "policy/networks/layers/attention.py",
        "tests/policy/networks/test_layers.py",
        [
            Change(
                "dropout acts in evaluation",
                "return self.dropout if self.training else 0.0",
                "return self.dropout",
            ),
        ],
    ),
    Target(
        "policy/networks/scaling.py",
        "tests/policy/networks/test_scaling.py"
        "::test_only_layers_whose_inputs_grow_learn_more_slowly",
        [
            Change(
                "wider layers learn faster",
                "_fan_in(base.get_submodule(name)) / _fan_in(layer)",
                "_fan_in(layer) / _fan_in(base.get_submodule(name))",
            ),
        ],
    ),
    Target(
        "policy/encoders/image.py",
        "tests/policy/encoders/test_encoders.py",
        [
            Change(
                "pixels reach from 0 to 2",
                "return pixels.to(dtype) / 127.5 - 1.0",
                "return pixels.to(dtype) / 127.5",
            ),
            Change(
                "the last place is never cropped",
                "top = torch.randint(height - size[0] + 1, (batch, 1), device=device)",
                "top = torch.randint(height - size[0], (batch, 1), device=device)",
            ),
            Change(
                "evaluation crops at random",
                "crop = random_crop if self.training else centre_crop",
                "crop = random_crop",
            ),
            Change(
                "keypoints are at the pixels' left edges",
                "(2.0 * torch.arange(n, dtype=like.dtype, device=like.device) + 1.0)",
                "(2.0 * torch.arange(n, dtype=like.dtype, device=like.device))",
            ),
        ],
    ),
]
