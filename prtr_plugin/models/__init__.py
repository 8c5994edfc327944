from . import estimators, heads, layers, necks, task_modules, transformers

__all__ = ['estimators', 'heads', 'layers', 'necks', 'task_modules', 'transformers']
