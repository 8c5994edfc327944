"""Draw predictions beside ground truth for some images of a test set.

Models that find the people themselves (``data_mode='bottomup'``) are drawn
with boxes and their scores.

Example:
    python tools/visualizations/prediction_sheet.py CONFIG CHECKPOINT \
        sheet.png --num-images 8
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import mmcv
import numpy as np
import torch
from mmengine.config import DictAction
from mmengine.dataset import pseudo_collate
from mmengine.structures import InstanceData
from mmpose.apis import init_model
from mmpose.registry import DATASETS
from mmpose.structures import PoseDataSample, merge_data_samples
from mmpose.visualization import PoseLocalVisualizer
from torch.utils.data import Dataset

from prtr_plugin.apis import load_config

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Draw predictions beside ground truth')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('out', help='picture to write')
    parser.add_argument(
        '--split',
        choices=['train', 'val', 'test'],
        default='test',
        help='whose dataloader names the images; train images go through '
        'the test pipeline (default: test)',
    )
    parser.add_argument('--num-images', type=int, default=8, help='(default: 8)')
    parser.add_argument('--columns', type=int, default=2, help='pairs per row (default: 2)')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='joints with a lower score are not drawn (default: 0.3)',
    )
    parser.add_argument(
        '--bbox-thr',
        type=float,
        default=0.3,
        help='people whose box does not have a higher score are not drawn (default: 0.3)',
    )
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE')
    args = parser.parse_args()
    if args.num_images < 1 or args.columns < 1:
        parser.error('--num-images and --columns must be at least 1')
    return args


def annotated_people(infos: list[dict]) -> InstanceData:
    """The people of an image as they are annotated, in its pixels.

    Those of the data samples went through the pipeline, which resizes whole
    images together with the people in them.

    Args:
        infos (List[dict]): Everything that the dataset has on this image

    Returns:
        InstanceData: ``bboxes``, ``keypoints`` and ``keypoints_visible``,
        nothing of them for an image of nobody. Without crowds.
    """
    people = []
    for info in infos:
        if 'bbox' in info:
            found = InstanceData(
                bboxes=info['bbox'],
                keypoints=info['keypoints'],
                keypoints_visible=info['keypoints_visible'],
            )
            crowd = info.get('iscrowd', np.zeros(len(found)))
            people.append(found[np.atleast_1d(crowd) == 0])
    return InstanceData.cat(people) if people else InstanceData()


def predict_images(
    model: torch.nn.Module, dataset: Dataset, num_images: int, bbox_thr: float
) -> Iterator[tuple[str, PoseDataSample]]:
    """Predict all people of evenly spaced images.

    Args:
        model (nn.Module): Model with mmpose's ``test_step``
        dataset (Dataset): Gives whole images or people
        num_images (int): Number of images, at most
        bbox_thr (float): Score that a box exceeds

    Yields:
        tuple[str, PoseDataSample]: Image path, and a data sample with the
        ``gt_instances`` and ``pred_instances`` of the whole image.
    """
    entries = defaultdict(list)
    for i in range(len(dataset)):
        entries[dataset.get_data_info(i)['img_id']].append(i)
    images = list(entries.values())
    chosen = np.linspace(0, len(images) - 1, min(num_images, len(images)))
    for i in chosen.round().astype(int):
        batch = pseudo_collate([dataset[j] for j in images[i]])
        with torch.no_grad():
            sample = merge_data_samples(model.test_step(batch))
        sample.gt_instances = annotated_people([dataset.get_data_info(j) for j in images[i]])
        found = sample.pred_instances
        sample.pred_instances = found[found.bbox_scores > bbox_thr]
        yield sample.img_path, sample


def draw_scores(axis: plt.Axes, found: InstanceData, left: int) -> None:
    """Write the scores into the corners of the boxes.

    Args:
        axis (plt.Axes): What the picture is shown on
        found (InstanceData): ``bboxes`` and ``bbox_scores``
        left (int): Where the picture of the predictions starts, in pixels
    """
    for (x, y, *_), score in zip(found.bboxes, found.bbox_scores):
        axis.text(
            left + x,
            y,
            f'{score:.2f}',
            va='top',
            fontsize=6,
            bbox=dict(facecolor='white', edgecolor='none', alpha=0.7, pad=0.5),
        )


def main() -> None:
    """Run the script."""
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    whole_images = cfg.data_mode == 'bottomup'

    # without options init_model looks for model.backbone, which some lack
    model = init_model(cfg, args.checkpoint, device=args.device, cfg_options={})
    dataset_cfg = cfg[f'{args.split}_dataloader'].dataset
    dataset_cfg.pipeline = cfg.test_dataloader.dataset.pipeline
    dataset_cfg.test_mode = True
    dataset = DATASETS.build(dataset_cfg)

    visualizer = PoseLocalVisualizer(line_width=2, radius=3)
    visualizer.set_dataset_meta(model.dataset_meta)
    pairs = []
    for path, sample in predict_images(model, dataset, args.num_images, args.bbox_thr):
        image = mmcv.imread(path, channel_order='rgb')
        visualizer.add_datasample(
            'sheet', image, sample, draw_bbox=whole_images, kpt_thr=args.score_thr
        )
        pairs.append((visualizer.get_image(), sample.pred_instances))

    rows = -(-len(pairs) // args.columns)
    fig, axes = plt.subplots(
        rows,
        args.columns,
        figsize=(6.4 * args.columns, 2.6 * rows),
        squeeze=False,
        layout='constrained',
    )
    for axis in axes.flat:
        axis.axis('off')
    for axis, (pair, found) in zip(axes.flat, pairs):
        axis.imshow(pair)
        axis.set_title('ground truth  |  prediction', fontsize=9)
        if whole_images:
            draw_scores(axis, found, pair.shape[1] // 2)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(args.out, dpi=120)
    print(f'Wrote {args.out}')


if __name__ == '__main__':
    main()
