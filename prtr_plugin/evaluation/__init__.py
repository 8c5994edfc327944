from .metrics import PersonBoxMetric

__all__ = ['PersonBoxMetric']
