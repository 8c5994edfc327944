from pathlib import Path
from typing import NamedTuple

from mmengine.model import BaseModel

from ..datasets import prepare_data
from ..fileio import write_folder
from .device import use_device
from .inputs import has_annotations
from .own_config import write_config
from .report import write_report
from .runner import test
from .work_folder import find_run, load_run


class Evaluation(NamedTuple):
    """Result of :func:`evaluate`.

    Attributes:
        metrics (Dict[str, float]): The metrics by name
        report (Path): Page with pictures
    """

    metrics: dict[str, float]
    report: Path


def evaluate(
    model: str | Path,
    weights: str | Path | None = None,
    data: str | Path | None = None,
    out: str | Path | None = None,
    device: str | None = None,
    overwrite: bool = False,
) -> Evaluation:
    """Measure a model, and write a page about it.

    Args:
        model (str | Path): See :func:`find_run`
        weights (str | Path, optional): See :func:`find_run`
        data (str | Path, optional): Own data, see :func:`prepare_data`. Its
            validation part counts, or all of it if there is none. Defaults to
            the test data of the model's config
        out (str | Path, optional): Folder to write. Defaults to ``val`` in
            the folder of the checkpoint
        device (str, optional): See :func:`train`
        overwrite (bool): Whether to replace a folder that is not empty.
            Defaults to ``False``

    Returns:
        Evaluation: The metrics, and the page.

    Raises:
        FileExistsError: If ``out`` is not empty and ``overwrite`` not set.
        FileNotFoundError: If a file does not exist.
        CheckpointError: If the checkpoint does not fit.
        ValueError: If the data has other joints than the model.
    """
    config, checkpoint = find_run(model, weights)
    out = Path(out) if out else Path(checkpoint).parent / 'val'
    with write_folder(out, overwrite) as folder, use_device(device):
        if data is not None:
            _, config = prepare_test(config, data, folder)
        metrics = test(config, checkpoint, work_dir=str(folder / 'log'))
        loaded = load_run(config, checkpoint, device)
        title = f'{Path(checkpoint).name} on {data or "the test data of its config"}'
        split = 'test' if has_annotations(loaded.cfg, 'test') else 'val'
        write_report(loaded, folder / 'report.html', title, metrics, split=split)
        if data is not None:
            # the folder gets its name when all is done
            text = Path(config).read_text(encoding='utf-8')
            text = text.replace(str(folder.resolve()), str(out.resolve()))
            Path(config).write_text(text, encoding='utf-8')
    return Evaluation(metrics, out / 'report.html')


def prepare_test(config: str, data: str | Path, folder: Path) -> tuple[list[str], str]:
    """Write a config that tests a model on own data.

    Raises:
        ValueError: If the data has other joints than the model.
    """
    from .model_zoo import load_model

    own = prepare_data(data, folder, split=False)
    model: BaseModel = load_model(config, device='cpu', random_weights=True)
    names = [joint['name'] for joint in own.dataset_info['keypoint_info'].values()]
    id2name = model.dataset_meta['keypoint_id2name']
    expected = [id2name[i] for i in range(len(id2name))]
    if names != expected:
        raise ValueError(
            f'data "{data}" has the joints {names}, but the model has {expected}. They must be the '
            'same, in the same order.'
        )
    path = folder / 'config.py'
    write_config(path, config, own)
    return own.notes, str(path)
