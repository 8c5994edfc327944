from .person_detr import PersonDETR
from .prtr_cascade import PRTRCascade

__all__ = ['PRTRCascade', 'PersonDETR']
