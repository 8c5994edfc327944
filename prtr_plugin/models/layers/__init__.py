from .attention import FusedMultiheadAttention
from .positional_encoding import SineLearnedPositionalEncoding
from .stn_crop import STNCrop
from .transformer import PRTRTransformer

__all__ = [
    'FusedMultiheadAttention', 'PRTRTransformer', 'STNCrop',
    'SineLearnedPositionalEncoding'
]
