from .base_transformer import BaseTransformer
from .deformable_prtr_transformer import DeformablePRTRTransformer
from .prtr_transformer import PRTRTransformer

__all__ = ['BaseTransformer', 'DeformablePRTRTransformer', 'PRTRTransformer']
