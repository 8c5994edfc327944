from .base_transformer import BaseTransformer, TransformerOutput
from .deformable_prtr_transformer import DeformablePRTRTransformer
from .pixel_prtr_transformer import PixelPRTRTransformer, find_peaks, locate_peaks, softmax_maps
from .prtr_transformer import PRTRTransformer

__all__ = [
    'BaseTransformer',
    'DeformablePRTRTransformer',
    'PRTRTransformer',
    'PixelPRTRTransformer',
    'TransformerOutput',
    'find_peaks',
    'locate_peaks',
    'softmax_maps',
]
