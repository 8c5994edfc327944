import numpy as np
import pytest
import torch
from mmpose.structures import PoseDataSample

from prtr_plugin.visualization import draw_cascade, figure_to_image, find_people


@pytest.fixture
def images():
    """Two images of other sizes than the pictures that they come from; the
    second one is padded."""
    shapes = [((96, 128), (192, 256)), ((64, 96), (128, 192))]
    return dict(
        inputs=[torch.randint(0, 255, (3, *shape), dtype=torch.uint8) for shape, _ in shapes],
        data_samples=[
            PoseDataSample(metainfo=dict(img_shape=shape, ori_shape=ori_shape))
            for shape, ori_shape in shapes
        ],
    )


@pytest.fixture
def finder(cascade, monkeypatch):
    """A cascade that keeps five people of each image."""
    monkeypatch.setitem(cascade.test_cfg, 'max_persons', 5)
    return cascade


def test_grids_lie_around_the_boxes(finder, images):
    """8 x 8 locations over 1.25 times the box, in pixels of the picture."""
    results = find_people(finder, images, 0)
    checked = 0
    for result in results:
        height, width = result.sample.ori_shape
        assert result.grids.shape == (5, 8, 8, 2)
        for grid, (x1, y1, x2, y2) in zip(result.grids, result.sample.pred_instances.bboxes):
            if not (0 < x1 < x2 < width and 0 < y1 < y2 < height):
                continue  # the box was cut, the grid is not
            checked += 1
            for row in range(8):
                for column in range(8):
                    x = (x1 + x2) / 2 + (x2 - x1) * 1.25 * (column / 7 - 0.5)
                    y = (y1 + y2) / 2 + (y2 - y1) * 1.25 * (row / 7 - 0.5)
                    assert np.allclose(grid[row, column], (x, y), atol=1e-2)
    assert checked


def test_grids_are_what_is_sampled(finder, images):
    """A map that holds its own coordinates is sampled to the grid."""
    seen = []
    hook = finder.crop.register_forward_pre_hook(lambda _, args: seen.extend(args))
    results = find_people(finder, images, 0)
    hook.remove()
    _, boxes, valid_hw = seen
    height, width = results[0].sample.batch_input_shape
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing='ij')
    # the pictures are twice as large as the inputs
    coordinates = 2 * torch.stack((x, y)).repeat(2, 1, 1, 1)
    sampled = finder.crop([coordinates] * 3, boxes, valid_hw)[:, :2]
    expected = torch.from_numpy(np.concatenate([result.grids for result in results]))
    expected = expected.permute(0, 3, 1, 2).float()
    size = torch.tensor([2 * width, 2 * height])[:, None, None]
    inside = (expected > 0.05 * size) & (expected < 0.95 * size)
    assert inside.any()
    assert torch.allclose(sampled[inside], expected[inside], atol=1e-2)


def test_picture(finder, images):
    result = find_people(finder, images, 0)[1]
    figure = draw_cascade(np.zeros((128, 192, 3), dtype=np.uint8), result, finder.dataset_meta)
    assert figure_to_image(figure).ndim == 3
    found, read = figure.axes
    # dots, and boxes besides the frame of the picture
    assert len(found.lines) == 5
    assert np.allclose(found.lines[2].get_xydata(), result.grids[2].reshape(-1, 2))
    assert len(found.patches) == len(read.patches) == 6
    assert len(read.collections) == 5
    scores = [text.get_text() for text in figure.legends[0].texts]
    people = result.sample.pred_instances
    assert scores == [f'{s:.2f}' for s in people.bbox_scores]


def test_nobody(finder, images):
    result = find_people(finder, images, 1)[0]
    assert result.grids.shape == (0, 8, 8, 2)
    image = np.zeros((192, 256, 3), dtype=np.uint8)
    figure = draw_cascade(image, result, finder.dataset_meta)
    assert figure_to_image(figure).ndim == 3


def test_nobody_in_one_image(finder, images, monkeypatch):
    """Recorded grids belong to the right image."""
    best = finder._best_people

    def only_in_the_second(*args):
        scores, boxes = best(*args)
        scores[0] = 0
        return scores, boxes

    monkeypatch.setattr(finder, '_best_people', only_in_the_second)
    results = find_people(finder, images, 0)
    assert [len(r.grids) for r in results] == [0, 5]


def test_other_models_are_refused(model, batch):
    with pytest.raises(TypeError, match='TopdownPoseEstimator'):
        find_people(model, batch)
