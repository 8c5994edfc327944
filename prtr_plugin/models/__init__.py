from . import estimators, heads, layers, necks, task_modules

__all__ = ['estimators', 'heads', 'layers', 'necks', 'task_modules']
