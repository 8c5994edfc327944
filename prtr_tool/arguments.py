"""``key=value`` on the command line, beside ``--key value``."""

import difflib
import os
from typing import Any

from typer.core import TyperCommand

YES, NO = ('true', 'yes', 'on', '1'), ('false', 'no', 'off', '0')


class KeyValueCommand(TyperCommand):
    """A command whose options can be written ``key=value``, without dashes in front.

    A key with dots sets something in the config: it is passed on to the
    option ``--set``, if the command has it.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Turn ``key=value`` into ``--key=value``."""
        known = {param.name: param for param in self.params if param.param_type_name == 'option'}
        return super().parse_args(ctx, [self._option(ctx, arg, known) for arg in args])

    def _option(self, ctx: Any, arg: str, known: dict) -> str:
        key, equals, value = arg.partition('=')
        if not equals or arg.startswith('-') or os.path.exists(arg):
            return arg
        if (
            '.' in key
            and 'settings' in known
            and all(part.isidentifier() for part in key.split('.'))
        ):
            return f'--set={arg}'
        key = key.replace('-', '_')
        if not key.isidentifier():
            return arg
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f' Did you mean {close[0]}=?' if close else ''
            ctx.fail(f'There is no option {key}= of `{ctx.command_path}`.{hint}')
        param = known[key]
        if not param.is_flag:
            return f'{param.opts[0]}={value}'
        if value.lower() not in YES + NO:
            ctx.fail(f'{key}= must be true or false, but is {value}.')
        return param.opts[0] if value.lower() in YES else param.secondary_opts[0]


def parse_settings(pairs: list[str]) -> dict:
    """Settings of a config from ``a.b=value``, as ``--cfg-options`` reads them."""
    import argparse

    from mmengine.config import DictAction

    parser = argparse.ArgumentParser()
    parser.add_argument('--set', nargs='*', action=DictAction, default={})
    return parser.parse_args(['--set', *pairs]).set
