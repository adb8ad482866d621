"""The encoders that turn observations into a network's condition."""

from .composite import CompositeEncoder
from .encoder import Encoder
from .image import ImageEncoder
from .state import StateEncoder

__all__ = ["CompositeEncoder", "Encoder", "ImageEncoder", "StateEncoder"]
