from . import estimators, heads, layers, losses, necks, task_modules, transformers

__all__ = ['estimators', 'heads', 'layers', 'losses', 'necks', 'task_modules', 'transformers']
