"""What the scripts of this folder that look inside a model share."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from mmengine.config import DictAction
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.registry import DATASETS
from mmpose.structures.bbox import bbox_xywh2xyxy
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from prtr_plugin import apis
from prtr_plugin.visualization import figure_to_image


def make_parser(description: str) -> argparse.ArgumentParser:
    """A parser of the arguments that all scripts take."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--device', default='cpu', help='(default: cpu)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    return parser


def add_bbox(parser: argparse.ArgumentParser) -> None:
    """Add the option that tells where the person of an image is."""
    parser.add_argument(
        '--bbox',
        nargs=4,
        type=float,
        metavar=('X', 'Y', 'W', 'H'),
        help='box of the person in pixels, its upper left corner and its '
        'size (default: the whole image)',
    )


def load_model(args: argparse.Namespace) -> nn.Module:
    """Build the model of the config with the weights of the checkpoint.

    Raises:
        CheckpointError: If they do not fit.
        FileNotFoundError: If one does not exist.
    """
    # the config's pipeline and dataset are built later
    init_default_scope('mmpose')
    return apis.load_model(args.config, args.checkpoint, args.device, cfg_options=args.cfg_options)


def batch_of_files(
    model: nn.Module, files: Sequence[str], bbox: Sequence[float] | None = None
) -> dict:
    """Prepare image files as the test pipeline of a model's config does.

    Args:
        model (nn.Module): From :func:`load_model`
        files (Sequence[str]): Images of one person each
        bbox (Sequence[float], optional): Box [x, y, w, h] of the person in
            each of them. Defaults to the whole image

    Returns:
        dict: A batch with one person for each file.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    pipeline = Compose(model.cfg.test_dataloader.dataset.pipeline)
    load, *rest = pipeline.transforms
    people = []
    for file in files:
        if not Path(file).is_file():
            raise FileNotFoundError(f'There is no image file "{file}".')
        info = load(dict(img_path=str(file)))
        height, width = info['img_shape']
        box = np.float32([bbox or (0, 0, width, height)])
        info.update(
            model.dataset_meta, bbox=bbox_xywh2xyxy(box), bbox_score=np.ones(1, dtype=np.float32)
        )
        people.append(Compose(rest)(info))
    return pseudo_collate(people)


def batch_of_dataset(model: nn.Module, number: int) -> dict:
    """Take evenly spaced entries of the test set of a model's config.

    Args:
        model (nn.Module): From :func:`load_model`
        number (int): Number of entries, at most

    Returns:
        dict: A batch of them.
    """
    dataset = DATASETS.build(model.cfg.test_dataloader.dataset)
    chosen = np.linspace(0, len(dataset) - 1, min(number, len(dataset)))
    return pseudo_collate([dataset[i] for i in chosen.round().astype(int)])


def test_loader(model: nn.Module) -> DataLoader:
    """The test dataloader of a model's config."""
    return Runner.build_dataloader(model.cfg.test_dataloader)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture, and its folder if there is none.

    A PNG file gets 256 colours, which makes it a fraction of the size.

    Args:
        figure (Figure): From ``prtr_plugin.visualization``
        path (Path): File to write, in a format that matplotlib knows
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == '.png':
        image = Image.fromarray(figure_to_image(figure))
        # this method keeps colours that only a few pixels have, except that
        # white may become nearly white
        palette = image.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=1)
        colors = np.reshape(palette.getpalette(), (-1, 3))
        colors[(colors > 248).all(axis=1)] = 255
        palette.putpalette(colors.flatten().tolist())
        # with a palette given the other colours are dithered
        image.quantize(palette=palette).save(path, optimize=True)
    else:
        figure.savefig(path)


def image_paths(batch: dict) -> list[str]:
    """The image files of a batch."""
    return [sample.img_path for sample in batch['data_samples']]
