from .person_detr_head import PersonDETRHead
from .prtr_head import PRTRHead

__all__ = ['PRTRHead', 'PersonDETRHead']
