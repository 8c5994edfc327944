from .attention import FusedMultiheadAttention
from .deformable_transformer import DeformablePRTRTransformer
from .positional_encoding import SineLearnedPositionalEncoding
from .stn_crop import STNCrop
from .transformer import PRTRTransformer

__all__ = [
    'DeformablePRTRTransformer',
    'FusedMultiheadAttention',
    'PRTRTransformer',
    'STNCrop',
    'SineLearnedPositionalEncoding',
]
