from .attention import FusedMultiheadAttention
from .deformable_attention import DeformableAttention, FeatureLevels, flatten_levels
from .pixel_decoder import PixelDecoder
from .positional_encoding import SineLearnedPositionalEncoding
from .precision import full_precision, non_finite_error
from .stn_crop import STNCrop
from .transformer import Decoder, DecoderLayer, Encoder, EncoderLayer, ReferenceDecoder

__all__ = [
    'Decoder',
    'DecoderLayer',
    'DeformableAttention',
    'Encoder',
    'EncoderLayer',
    'FeatureLevels',
    'FusedMultiheadAttention',
    'PixelDecoder',
    'ReferenceDecoder',
    'STNCrop',
    'SineLearnedPositionalEncoding',
    'flatten_levels',
    'full_precision',
    'non_finite_error',
]
