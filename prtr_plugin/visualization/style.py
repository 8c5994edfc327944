"""Colours, names, legends and files of all pictures."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import mmcv
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from mmengine.visualization.utils import img_from_canvas
from PIL import Image

from ..datasets.joints import split_side
from ..fileio import check_output, write_file

SIDES = ('left', 'right', 'middle')
# colours of a dataset may be as bright as white, which cannot be read on white
LARGEST_LUMINANCE = 0.6
FONT_SIZE = 7
# room for names beside a picture, in heights of the picture
LABEL_MARGIN = 0.3


def new_figure(width: float, height: float) -> Figure:
    """Make a figure that needs no window and need not be closed.

    Args:
        width (float): Width in inches
        height (float): Height in inches

    Returns:
        Figure: An empty figure that lays out its axes and legends itself.
    """
    figure = Figure(figsize=(width, height), dpi=120, layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def figure_to_image(figure: Figure) -> np.ndarray:
    """Render a figure of :func:`new_figure`.

    Returns:
        np.ndarray: RGB picture in shape (H, W, 3), uint8.
    """
    return img_from_canvas(figure.canvas)


def check_picture(path: Path, force: bool = False, inputs: Sequence[str | Path] = ()) -> None:
    """Check that a picture can be written, see :func:`check_output`.

    Args:
        path (Path): File to write, in a format that matplotlib knows
        force (bool): Whether it may exist. Defaults to ``False``
        inputs (Sequence[str | Path]): Files that must stay. Defaults to none

    Raises:
        OSError: If it exists and ``force`` is not set, or its folder cannot be
            written to.
        ValueError: If matplotlib does not know the format, or the file is one
            of the inputs.
    """
    known = FigureCanvasAgg.get_supported_filetypes()
    check_output(path, force, [f'.{name}' for name in known], inputs)


def save_figure(figure: Figure, path: Path, all_colors: bool = False) -> None:
    """Write a picture, and make its folder if there is none.

    Args:
        figure (Figure): A figure of :func:`new_figure`
        path (Path): File to write, in a format that matplotlib knows
        all_colors (bool): Whether a PNG file keeps all colours, for
            photographs, instead of 256, which are a fraction of the size.
            Defaults to ``False``

    Raises:
        OSError: If its folder cannot be written to.
        ValueError: If matplotlib does not know the format.
    """
    check_picture(path, force=True)
    with write_file(path) as file:
        if all_colors or path.suffix.lower() != '.png':
            figure.savefig(file)
        else:
            reduce_colors(figure_to_image(figure)).save(file, optimize=True)


def reduce_colors(pixels: np.ndarray) -> Image.Image:
    """A picture with 256 colours, from RGB pixels in shape (H, W, 3)."""
    image = Image.fromarray(pixels)
    # this method keeps rare colours, except that white may become nearly white
    palette = image.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=1)
    colors = np.array(palette.getpalette()).reshape(-1, 3)
    colors[(colors > 248).all(axis=1)] = 255
    palette.putpalette(colors.flatten().tolist())
    # colours that are not in a given palette are dithered
    return image.quantize(palette=palette)


def joint_names(dataset_meta: dict) -> list[str]:
    """Names of the K joints, short and readable."""
    return [
        dataset_meta['keypoint_id2name'][k].replace('_', ' ')
        for k in range(dataset_meta['num_keypoints'])
    ]


def joint_indices(names: Sequence[str] | None, dataset_meta: dict) -> list[int]:
    """Indices of joints by their names in the dataset, or of all for None.

    Raises:
        ValueError: If there is no such joint.
    """
    known = dataset_meta['keypoint_name2id']
    if names is None:
        return list(range(dataset_meta['num_keypoints']))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f'There is no joint {", ".join(unknown)}. The dataset has {", ".join(known)}.'
        )
    return [known[name] for name in names]


def joint_sides(dataset_meta: dict) -> list[str]:
    """The side of the body that each joint is on.

    It follows from the names, or else from the pairs that a flip exchanges: in
    a pair without sides in its names, the first joint is on the right, as in
    the face datasets.

    Args:
        dataset_meta (dict): Metainfo of the dataset, as mmpose parses it

    Returns:
        List[str]: ``'left'``, ``'right'`` or ``'middle'`` for each joint.
    """
    sides = []
    for k, name in enumerate(joint_names(dataset_meta)):
        side, _ = split_side(name)
        partner = dataset_meta['flip_indices'][k]
        if side != 'middle':
            sides.append(side)
        elif partner == k:
            sides.append('middle')
        else:
            sides.append('right' if k < partner else 'left')
    return sides


def joint_colors(dataset_meta: dict) -> np.ndarray:
    """Colours of the joints: those of the dataset, shaded so that joints differ.

    Args:
        dataset_meta (dict): Metainfo of the dataset, as mmpose parses it

    Returns:
        np.ndarray: RGB colours in [0, 1] in shape (K, 3).
    """
    colors = np.asarray(dataset_meta['keypoint_colors']) / 255
    luminance = colors @ (0.299, 0.587, 0.114)
    colors *= np.minimum(1, LARGEST_LUMINANCE / np.maximum(luminance, 1e-6))[:, None]
    _, groups = np.unique(colors, axis=0, return_inverse=True)
    for group in range(groups.max() + 1):
        members = np.flatnonzero(groups.ravel() == group)
        colors[members] *= np.linspace(1, 0.5, len(members))[:, None]
    return colors


def side_handles(dataset_meta: dict) -> list[Line2D]:
    """Legend entries of the sides that a dataset's joints are on."""
    colors = joint_colors(dataset_meta)
    handles = []
    for side in SIDES:
        members = [k for k, found in enumerate(joint_sides(dataset_meta)) if found == side]
        if members:
            # eyes may have another colour than arms and legs
            given = [tuple(dataset_meta['keypoint_colors'][k]) for k in members]
            color = colors[members[given.index(max(given, key=given.count))]]
            handles.append(Line2D([], [], color=color, linewidth=3, label=side))
    return handles


def spread(wanted: np.ndarray, gap: float) -> np.ndarray:
    """Move apart positions that are too close, within [0, 1].

    Args:
        wanted (np.ndarray): Positions in ascending order in shape (N, )
        gap (float): Smallest distance of two positions, at most 1 / (N - 1)

    Returns:
        np.ndarray: Positions in ascending order in shape (N, ).
    """
    steps = gap * np.arange(len(wanted))
    moved = np.maximum.accumulate(np.clip(wanted, 0, 1) - steps) + steps
    return np.minimum(moved, 1 - steps[::-1])


def show_image(axis: Axes, image: np.ndarray, region: Sequence[float], alpha: float = 1.0) -> None:
    """Show a part of an image.

    Args:
        axis (Axes): Axes to draw on
        image (np.ndarray): RGB picture in shape (H, W, 3)
        region (Sequence[float]): [x1, y1, x2, y2] in pixels. Parts outside
            the image are white
        alpha (float): Opacity of the image; less than 1 makes what is drawn
            over it stand out. Defaults to 1.0
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = region
    frame = Rectangle(
        (x1, y1), x2 - x1, y2 - y1, facecolor='none', edgecolor='lightgray', linewidth=0.8
    )
    axis.add_patch(frame)
    shown = axis.imshow(image, extent=(0, width, height, 0), alpha=alpha)
    shown.set_clip_path(frame)
    axis.set(xlim=(x1, x2), ylim=(y2, y1), aspect='equal')
    axis.axis('off')


def crop_panels(
    image: np.ndarray, region: Sequence[float], number: int
) -> tuple[Figure, list[Axes]]:
    """Show a crop several times in grey, so that only drawings have colour.

    Args:
        image (np.ndarray): RGB picture in shape (H, W, 3)
        region (Sequence[float]): See :func:`show_image`
        number (int): Number of panels

    Returns:
        tuple[Figure, List[Axes]]: The figure and its panels, row by row, with
        room for titles.
    """
    x1, y1, x2, y2 = region
    columns = min(number, 6 if number <= 24 else 12)
    rows = -(-number // columns)
    height = (1.4 * (y2 - y1) / (x2 - x1) + 0.45) * rows + 0.6
    figure = new_figure(max(1.5 * columns, 4.5), height)
    axes = [figure.add_subplot(rows, columns, i + 1) for i in range(number)]
    gray = mmcv.gray2rgb(mmcv.rgb2gray(image, keepdim=True))
    for axis in axes:
        show_image(axis, gray, region, alpha=0.7)
    return figure, axes


def overlay(axis: Axes, weights: np.ndarray, region: Sequence[float]) -> None:
    """Lay weights over a crop, from transparent for 0 to dark for the largest.

    Args:
        axis (Axes): See :func:`crop_panels`
        weights (np.ndarray): Weights of the cells of the crop in shape (H, W)
        region (Sequence[float]): See :func:`show_image`
    """
    x1, y1, x2, y2 = region
    relative = weights / weights.max()
    colors = matplotlib.colormaps['YlOrRd'](0.3 + 0.7 * relative)
    colors[..., 3] = 0.85 * relative
    axis.imshow(colors, extent=(x1, x2, y2, y1))


def label_points(
    axis: Axes,
    region: Sequence[float],
    points: np.ndarray,
    names: Sequence[str],
    colors: np.ndarray,
) -> None:
    """Write names beside a picture, with lines to their points.

    Names never cover the picture or each other. If there is not enough room
    for all of them, none is written.

    Args:
        axis (Axes): Axes with the picture, about as high as the figure
        region (Sequence[float]): See :func:`show_image`
        points (np.ndarray): Points in shape (K, 2)
        names (Sequence[str]): K names
        colors (np.ndarray): RGB colours in shape (K, 3)
    """
    x1, y1, x2, y2 = region
    gap = 1.5 * FONT_SIZE * axis.figure.dpi / 72 / axis.figure.bbox.height
    num_left = len(names) // 2
    if gap * (len(names) - num_left) > 1:
        return
    margin = LABEL_MARGIN * (y2 - y1)
    axis.set_xlim(x1 - margin, x2 + margin)
    heights = (points[:, 1] - y1) / (y2 - y1)
    by_x = np.argsort(points[:, 0], kind='stable')
    for column, x, align, edge in (
        (by_x[:num_left], x1 - margin / 8, 'right', 1),
        (by_x[num_left:], x2 + margin / 8, 'left', 0),
    ):
        column = column[np.argsort(heights[column], kind='stable')]
        for k, y in zip(column, spread(heights[column], gap)):
            axis.annotate(
                names[k],
                points[k],
                (x, y1 + y * (y2 - y1)),
                ha=align,
                va='center',
                fontsize=FONT_SIZE,
                arrowprops=dict(
                    arrowstyle='-',
                    color=colors[k],
                    linewidth=0.6,
                    alpha=0.8,
                    relpos=(edge, 0.5),
                    shrinkA=0,
                    shrinkB=0,
                ),
            )
