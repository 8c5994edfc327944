"""What the commands print: tables, one live line, warnings and errors."""

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO

import typer


def make_console(stderr: bool = False):
    """A console that goes on printing while others are kept off the screen."""
    from rich.console import Console

    return Console(file=sys.stderr if stderr else sys.stdout, highlight=False)


@contextmanager
def tidy() -> Iterator[None]:
    """Errors and warnings in one sentence each, and none of those of other packages.

    Raises:
        Exit: With code 1 instead of an expected error.
    """

    def show(message, category, filename, lineno, file=None, line=None) -> None:
        print(f'Warning: {message}', file=sys.stderr)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            warnings.filterwarnings('default', module=r'prtr_(plugin|tool)')
            warnings.showwarning = show
            yield
    except (FloatingPointError, ImportError, OSError, ValueError) as error:
        text = str(error)
        if isinstance(error, OSError) and error.filename and error.strerror:
            text = f'"{error.filename}": {error.strerror}.'
        print(f'Error: {text}', file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print('Stopped.', file=sys.stderr)
        raise typer.Exit(130) from None


@contextmanager
def silence() -> Iterator[None]:
    """Keep off the screen what mmengine and pycocotools print; logs are in files."""
    with redirect_stdout(StringIO()):
        yield


def show_table(rows: Mapping[str, object]) -> None:
    """Print names and values."""
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    # names and paths are copied from the screen: whole, or wrapped
    table.add_column(no_wrap=True, min_width=max(map(len, rows), default=0), style='bold')
    table.add_column(overflow='fold')
    for name, value in rows.items():
        table.add_row(
            escape(name), escape(f'{value:.3f}' if isinstance(value, float) else str(value))
        )
    make_console().print(table)


@contextmanager
def training_line():
    """One line that tells how a training goes.

    Yields:
        Callable: What :func:`prtr_plugin.apis.train` takes as ``report``.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = make_console()
    columns = ('epoch {task.fields[epoch]}', '{task.fields[values]}')
    bar = Progress(
        TextColumn(columns[0]),
        BarColumn(bar_width=20),
        TextColumn(columns[1]),
        TimeRemainingColumn(compact=True),
        console=console,
        disable=not console.is_terminal,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    labels = {'loss': 'loss', 'acc_pose': 'joints', 'coco/AP': 'AP', 'coco/bbox_AP': 'box AP'}
    with bar:
        task = bar.add_task('', total=None, epoch='', values='')

        def report(progress) -> None:
            values = '  '.join(
                f'{labels.get(name, name)} {value:.3f}'
                for name, value in progress.values.items()
                if name in labels or name.rpartition('/')[2] in ('AP', 'PCK', 'AUC')
            )
            epoch = f'{progress.epoch}/{progress.max_epochs}'
            if console.is_terminal:
                done = dict(total=progress.max_steps, completed=progress.step)
                bar.update(task, **done, epoch=epoch, values=values)
            elif progress.validated:
                console.print(f'epoch {epoch}  {values}')

        yield report


@contextmanager
def frame_line(unit: str = 'pictures'):
    """One line that counts.

    Yields:
        Callable: What :func:`prtr_plugin.apis.predict_files` takes as ``report``.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = make_console()
    with Progress(
        MofNCompleteColumn(),
        TextColumn(unit),
        BarColumn(bar_width=20),
        TimeRemainingColumn(compact=True),
        console=console,
        disable=not console.is_terminal,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as bar:
        task = bar.add_task('', total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
