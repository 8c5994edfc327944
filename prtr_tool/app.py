"""The commands of ``prtr``: thin over the functions of ``prtr_plugin.apis``.

Nothing but typer is imported before a command runs.
"""

from pathlib import Path
from typing import Annotated

import typer

from .arguments import NO, YES, KeyValueCommand, parse_settings
from .screen import frame_line, make_console, show_table, silence, tidy, training_line

app = typer.Typer(
    name='prtr',
    help='Human poses with transformers: train on your own pictures, predict, export. '
    'Options are written key=value or --key value.',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Text = str | None
Number = int | None
Model = Annotated[
    str, typer.Argument(help='work folder of a training, checkpoint in one, name or config file')
]
Weights = Annotated[Text, typer.Option(help='checkpoint, for a name or a config file')]
DetectorConfig = Annotated[Text, typer.Option(help='config of an mmdet detector')]
DetectorWeights = Annotated[Text, typer.Option(help='its checkpoint')]
Device = Annotated[Text, typer.Option(help='such as cpu or cuda:0', show_default='the fastest')]
Force = Annotated[bool, typer.Option('--force/--no-force', help='replace an existing output')]


def command(name: str):
    """A command that also takes ``key=value``."""
    return app.command(name, cls=KeyValueCommand, no_args_is_help=name not in ('models', 'demo'))


@command('train')
def train(
    data: Annotated[
        Text, typer.Option(help='own pictures with COCO keypoints: folder or file')
    ] = None,
    config: Annotated[Text, typer.Option(help='instead of data: name or file of a config')] = None,
    model: Annotated[Text, typer.Option(help='name or config file, see `prtr models`')] = None,
    init: Annotated[Text, typer.Option(help='checkpoint to start from; joints may differ')] = None,
    epochs: Annotated[Number, typer.Option(show_default='by the size of the data')] = None,
    batch: Annotated[Number, typer.Option(show_default='by the size of the data')] = None,
    size: Annotated[
        Text, typer.Option(help='height x width of crops, multiples of 32, such as 256x192')
    ] = None,
    device: Device = None,
    out: Annotated[Text, typer.Option(help='work folder', show_default='work_dirs/NAME')] = None,
    logger: Annotated[Text, typer.Option(help='tensorboard, wandb or mlflow')] = None,
    early_stop: Annotated[int, typer.Option(help='validations without progress, 0 for never')] = 0,
    ema: Annotated[bool, typer.Option('--ema/--no-ema', help='average the weights')] = False,
    flip: Annotated[
        Text, typer.Option(help='true, false, or pairs a:b,c:d', show_default='by the names')
    ] = None,
    sigmas: Annotated[Text, typer.Option(help='tolerances of OKS: one, or one per joint')] = None,
    seed: Annotated[Number, typer.Option(help='of the split and the training')] = None,
    amp: Annotated[bool, typer.Option('--amp/--no-amp', help='mixed precision')] = False,
    resume: Annotated[
        bool, typer.Option('--resume/--no-resume', help='continue the run in the folder of config')
    ] = False,
    settings: Annotated[
        list[str], typer.Option('--set', help='settings of the config, also written a.b=value')
    ] = [],
) -> None:
    """Train on your own data (data=FOLDER) or with a config (config=NAME)."""
    with tidy():
        from prtr_plugin.apis import plan_training, summarize_run
        from prtr_plugin.apis import train as run
        from prtr_plugin.apis.training import DEFAULT_MODEL, TrainingPlan

        if resume:
            if not config or data:
                raise ValueError('resume needs config, the config.py in the folder of the run.')
            others = dict(model=model, init=init, epochs=epochs, batch=batch, size=size)
            others |= dict(logger=logger, early_stop=early_stop, ema=ema, flip=flip)
            others |= dict(sigmas=sigmas, seed=seed is not None, settings=bool(settings))
            given = [name for name, value in others.items() if value]
            if given:
                raise ValueError(
                    f'resume continues a run with its config: {", ".join(given)} would have no '
                    f'effect. Change {config} instead.'
                )
            plan = TrainingPlan(Path(config), Path(out or Path(config).parent), {})
        else:
            plan = plan_training(
                data,
                config,
                model or DEFAULT_MODEL,
                init,
                epochs,
                batch,
                size,
                out,
                logger,
                early_stop,
                ema,
                _parse_flip(flip),
                _parse_numbers(sigmas),
                seed,
                device,
                parse_settings(settings),
                amp,
            )
            show_table(plan.decisions)
        with training_line() as report, silence():
            run(plan, device=device, report=report, resume=resume, amp=amp)
        show_run(summarize_run(plan.work_dir), plan.work_dir)


def show_run(summary, folder: Path) -> None:
    """The table at the end of a training."""
    rows = {}
    if summary.curve:
        rows['best'] = f'{summary.metric} {summary.best:.3f} in epoch {summary.epoch}'
        rows['last'] = f'{summary.metric} {summary.last:.3f}'
    rows['weights'] = str(summary.checkpoint)
    rows['report'] = str(folder / 'report.html')
    rows['next'] = f'prtr predict {folder} PICTURES --out predictions'
    if summary.best <= 0:
        rows['note'] = (
            'nothing was learned that the metric counts: train longer (epochs=), start from '
            'weights (init=) or label more'
        )
    show_table(rows)


def _parse_flip(text: str | None) -> bool | dict[str, str] | None:
    if text is None:
        return None
    if text.lower() in YES + NO:
        return text.lower() in YES
    pairs = [pair.split(':') for pair in text.split(',')]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f'flip must be true, false or pairs a:b,c:d, but is {text}.')
    return {a.strip(): b.strip() for a, b in pairs}


def _parse_numbers(text: str | None) -> float | list[float] | None:
    if text is None:
        return None
    try:
        numbers = [float(number) for number in text.split(',')]
    except ValueError:
        raise ValueError(
            f'sigmas must be numbers such as 0.05 or 0.03,0.08, but is {text}.'
        ) from None
    return numbers[0] if len(numbers) == 1 else numbers


@command('val')
def val(
    model: Model,
    weights: Weights = None,
    data: Annotated[
        Text, typer.Option(help='other data', show_default='that of the config')
    ] = None,
    out: Annotated[
        Text, typer.Option(help='folder', show_default='val beside the checkpoint')
    ] = None,
    device: Device = None,
    force: Force = False,
) -> None:
    """Measure a model, and write a page with its errors."""
    with tidy():
        from prtr_plugin.apis import evaluate

        with make_console().status('evaluating'), silence():
            result = evaluate(model, weights, data, out, device, force)
        shown = {name: value for name, value in result.metrics.items() if value != -1}
        show_table({**shown, 'report': result.report})


@command('predict')
def predict(
    model: Model,
    inputs: Annotated[
        list[str], typer.Argument(help='pictures, videos, folders, patterns or a camera number')
    ],
    out: Annotated[str, typer.Option(help='folder to write')] = 'predictions',
    weights: Weights = None,
    boxes: Annotated[Text, typer.Option(help='CSV or JSON file with boxes of people')] = None,
    detector: DetectorConfig = None,
    detector_weights: DetectorWeights = None,
    score_thr: Annotated[float, typer.Option(help='lowest score of a person')] = 0.3,
    kpt_thr: Annotated[float, typer.Option(help='lowest score of a joint that is drawn')] = 0.3,
    batch: Annotated[int, typer.Option(help='pictures at a time')] = 8,
    device: Device = None,
    draw: Annotated[bool, typer.Option('--draw/--no-draw', help='draw pictures, videos')] = True,
    force: Force = False,
) -> None:
    """Find joints in pictures and videos; write pictures, JSON and CSV."""
    with tidy():
        from prtr_plugin.apis import load_run, predict_files

        find = _find_detector(detector, detector_weights, device)
        loaded = load_run(model, weights, device)
        with frame_line() as report, silence():
            done = predict_files(
                loaded, inputs, out, boxes, find, batch, score_thr, kpt_thr, draw, force, report
            )
        for path, error in done.errors.items():
            make_console(stderr=True).print(f'left out {path}: {error}', markup=False)
        whole = not (boxes or find) and hasattr(loaded, 'head') and not hasattr(loaded, 'detector')
        show_table(
            {
                'found': f'{done.num_people} people in {done.num_frames} pictures'
                + (', each taken for one person; give boxes= or detector=' if whole else ''),
                'written': f'{out}: predictions.json, predictions.csv'
                + (', drawn pictures' if draw else ''),
            }
        )


def _find_detector(config: str | None, weights: str | None, device: str | None):
    if (config is None) != (weights is None):
        raise ValueError('detector and detector_weights belong together: give both.')
    if config is None or weights is None:
        return None
    from prtr_plugin.apis.detection import Detector

    return Detector(config, weights, device=device)


@command('page')
def page(
    model: Model,
    weights: Weights = None,
    detector: DetectorConfig = None,
    detector_weights: DetectorWeights = None,
    device: Device = None,
    host: Annotated[str, typer.Option(help='address to listen at')] = '127.0.0.1',
    port: Annotated[Number, typer.Option(show_default='a free one from 7860')] = None,
) -> None:
    """Show a page in the browser that finds joints in pictures."""
    with tidy():
        from prtr_plugin.apis import load_run, make_page, serve_page

        find = _find_detector(detector, detector_weights, device)
        shown = make_page(
            load_run(model, weights, device), find, f'Human poses: {Path(model).name}'
        )
        show_table({'page': serve_page(shown, host, port), 'end': 'Ctrl-C'})
        with silence():
            shown.block_thread()


@command('export')
def export(
    model: Model,
    out: Annotated[str, typer.Argument(help='file to write: .onnx, .pt or .pt2')],
    weights: Weights = None,
    device: Device = None,
    opset: Annotated[int, typer.Option(help='ONNX operators')] = 17,
) -> None:
    """Write a model as one file, and compare it with the original."""
    with tidy():
        from prtr_plugin.apis import export as run
        from prtr_plugin.apis import load_run

        loaded = load_run(model, weights, device)
        with make_console().status('exporting and comparing'), silence():
            checks = run(loaded, out, opset)
        rows = {
            f'batch of {check.batch_size}': 'largest differences '
            + ', '.join(f'{name} {value:.1e}' for name, value in check.differences.items())
            + f'; {check.torch_seconds / check.exported_seconds:.2f} times as fast'
            for check in checks
        }
        show_table({**rows, 'written': out})


@command('check')
def check(
    source: Annotated[str, typer.Argument(help='data (folder or file), or a config')],
) -> None:
    """Look for mistakes in annotations before they spoil a training."""
    with tidy():
        from prtr_plugin.apis import check_data
        from prtr_plugin.datasets import report

        rows, findings = check_data(source)
        show_table(rows)
        for severity in ('error', 'warning'):
            for line in report(found for found in findings if found.severity == severity):
                make_console().print(f'{severity}: {line}', markup=False)
        errors = sum(found.severity == 'error' for found in findings)
        make_console().print(f'{errors} errors, {len(findings) - errors} warnings')
        if errors:
            raise typer.Exit(1)


@command('preview')
def preview(
    source: Annotated[str, typer.Argument(help='data (folder or file), or a config')],
    out: Annotated[str, typer.Option(help='picture to write')] = 'preview.png',
    number: Annotated[int, typer.Option(help='samples')] = 16,
    seed: Annotated[int, typer.Option(help='of choice and augmentation')] = 0,
) -> None:
    """Draw training samples as the model gets them."""
    with tidy():
        from prtr_plugin.apis import preview as run

        with silence():
            run(source, out, number, seed=seed)
        show_table({'written': out})


@command('models')
def models(
    pattern: Annotated[str, typer.Argument(help='part of a name, or a pattern with *')] = '*',
) -> None:
    """List the models that have a name."""
    with tidy():
        from prtr_plugin.apis import describe_models

        found = describe_models(pattern)
        if not found:
            raise ValueError(f'No model matches "{pattern}". `prtr models` lists all.')
        show_table(found)


@command('convert')
def convert(
    source: Annotated[str, typer.Argument(help='checkpoint to read')],
    target: Annotated[str, typer.Argument(help='checkpoint to write')],
    kind: Annotated[
        str, typer.Option(help='two_stage, sequential, detr or efficientnet_lite')
    ] = 'two_stage',
    reverse: Annotated[bool, typer.Option('--reverse/--no-reverse', help='to theirs')] = False,
    config: Annotated[Text, typer.Option(help='config whose model it must fit')] = None,
    trust: Annotated[bool, typer.Option('--trust/--no-trust', help='unpickle anything')] = False,
) -> None:
    """Convert a checkpoint of PRTR's authors, of DETR or of EfficientNet-Lite."""
    with tidy():
        from prtr_plugin.apis import convert_checkpoint

        text = convert_checkpoint(source, target, kind, reverse, config, trust)
        make_console().print(text, markup=False)


@command('demo')
def demo(
    out: Annotated[str, typer.Option(help='work folder, new')] = 'work_dirs/demo',
    data: Annotated[str, typer.Option(help='folder of the dataset')] = 'data/synthetic_people',
    model: Annotated[Text, typer.Option(help='name or config for synthetic people')] = None,
    epochs: Annotated[Number, typer.Option(show_default='as in the config')] = None,
    pictures: Annotated[int, typer.Option(help='pictures to train on')] = 1500,
    seed: Annotated[int, typer.Option(help='of the training')] = 0,
    device: Device = None,
) -> None:
    """Make synthetic people, train on them, and look at the result: minutes, no data needed."""
    with tidy():
        from prtr_plugin.apis import run_demo, summarize_run

        with training_line() as report, silence():
            run_demo(out, data, model, epochs, pictures, seed, device, report)
        show_run(summarize_run(out), Path(out))


def main() -> None:
    """Run the command line."""
    app()
