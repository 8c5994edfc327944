from .deformable_prtr_head import DeformablePRTRHead
from .person_detr_head import PersonDETRHead
from .prtr_head import PRTRHead

__all__ = ['DeformablePRTRHead', 'PRTRHead', 'PersonDETRHead']
