from .attention import FusedMultiheadAttention
from .transformer import PRTRTransformer

__all__ = ['FusedMultiheadAttention', 'PRTRTransformer']
