from . import heads, necks, task_modules

__all__ = ['heads', 'necks', 'task_modules']
