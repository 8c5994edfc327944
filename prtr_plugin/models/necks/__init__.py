from .hrnet_cls_neck import HRNetClsNeck

__all__ = ['HRNetClsNeck']
