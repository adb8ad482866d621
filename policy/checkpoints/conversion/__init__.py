"""Weights of Diffusion Policy's public checkpoints, carried over to the networks of this package.

Its modules ConditionalUnet1D and TransformerForDiffusion (Chi et al. 2023, repository
real-stanford/diffusion_policy) compute the same functions as ours, under other names and cut
otherwise: ours hold the FiLM layers of all blocks in one, split by time and observation, and the
keys and values of all decoder layers in one. Every tensor is used, or the conversion is refused.
"""

from .checkpoint import Converted, convert_checkpoint, read_state_dict

__all__ = ["Converted", "convert_checkpoint", "read_state_dict"]
