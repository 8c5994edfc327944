from .person_detr import PersonDETR
from .proposal_detr import ProposalPersonDETR
from .prtr_cascade import PRTRCascade

__all__ = ['PRTRCascade', 'PersonDETR', 'ProposalPersonDETR']
