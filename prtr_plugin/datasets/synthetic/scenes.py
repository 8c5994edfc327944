"""Pictures of synthetic people with their annotations."""

import cv2
import numpy as np

from .figures import JOINT_PARTS, PART_IDS, Canvas, Figure, hull
from .poses import KEYPOINTS, random_color, sample_body, sample_points, shade, to_color

MIN_VISIBLE = 0.45  # people with a smaller visible fraction are left out
MIN_LABELLED = 7


def make_background(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A gradient with textures, shapes and sticks, shape (H, W, 3)."""
    width, height = size
    corners = random_color(rng) + rng.uniform(-60, 60, (2, 2, 3))
    # Duller than clothes, as most surroundings are.
    gray = corners.mean(-1, keepdims=True)
    corners = gray + (corners - gray) * rng.uniform(0.2, 0.9)
    image = cv2.resize(corners.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.3:  # stripes, as of a wall or a fence
        turn, period = rng.uniform(0, np.pi), rng.uniform(0.05, 0.3) * height
        y, x = np.mgrid[:height, :width].astype(np.float32)
        phase = (x * np.cos(turn) + y * np.sin(turn)) / period
        image += np.float32(rng.uniform(8, 28)) * (phase % 1 < 0.5)[..., None]
    if rng.random() < 0.4:  # floor
        image[int(rng.uniform(0.5, 0.9) * height) :] *= np.float32(rng.uniform(0.6, 1.3))
    for cells, strength in ((5, 30), (24, 16)):
        noise = rng.normal(0, strength * rng.random(), (cells, cells, 1)).astype(np.float32)
        image += cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)[..., None]
    image = np.clip(image, 0, 255).astype(np.uint8)
    base = np.array(cv2.mean(image)[:3])
    for _ in range(rng.integers(3, 11)):
        color = to_color(0.45 * base + 0.55 * random_color(rng))
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        long = rng.uniform(0.04, 0.3) * height
        kind = rng.integers(5)
        if kind == 0:
            box = cv2.boxPoints(((x, y), (long, long * rng.uniform(0.3, 2)), rng.uniform(-20, 20)))
            cv2.fillPoly(image, [box.astype(np.int32)], color, cv2.LINE_AA)
        elif kind == 1:
            cv2.circle(image, (int(x), int(y)), int(long * 0.3), color, -1, cv2.LINE_AA)
        elif kind == 2:
            turn = rng.uniform(0, 2 * np.pi)
            end = (int(x + long * np.cos(turn)), int(y + long * np.sin(turn)))
            cv2.line(image, (int(x), int(y)), end, color, int(rng.integers(2, 9)), cv2.LINE_AA)
        elif kind == 3:  # bent like an arm or a leg
            joints = np.cumsum(rng.uniform(-long, long, (3, 2)) * 0.7, 0)
            joints = (joints + (x, y)).astype(np.int32)
            thick = int(rng.integers(4, 11))
            cv2.polylines(image, [joints], False, shade(color, 0.6), thick + 2, cv2.LINE_AA)
            cv2.polylines(image, [joints], False, color, thick, cv2.LINE_AA)
        else:
            corners = rng.uniform(-long, long, (4, 2)) * 0.6 + (x, y)
            cv2.fillPoly(image, [corners.astype(np.int32)], color, cv2.LINE_AA)
    return image


def sample_figures(
    rng: np.random.Generator, size: tuple[int, int], max_people: int
) -> list[Figure]:
    """Draw people and their positions, far to near (small to large)."""
    width, height = size
    weights = 1 / np.arange(1.5, max_people + 1.5)
    count = 1 + rng.choice(max_people, p=weights / weights.sum())
    least, most = {1: (0.45, 0.88), 2: (0.38, 0.8)}.get(count, (0.3, 0.7))
    figures: list[Figure] = []
    boxes: list[np.ndarray] = []
    for scale in sorted(rng.uniform(least, most, count) * height):
        body = sample_body(rng)
        points = sample_points(rng, body)
        figure = Figure.from_view(body, points, scale)
        low, high = figure.extent()
        # A person may stick out of the picture by up to a third.
        out = 0.33 if rng.random() < 0.2 else -0.01
        extent = high - low
        free = np.array([width, height]) - extent + 2 * out * extent
        best, least_cover = np.zeros(4), np.inf
        for _ in range(8):
            start = -out * extent + np.where(free > 0, rng.random(2) * free, free / 2)
            box = np.concatenate([start, start + extent])
            cover = max([overlap(box, other) for other in boxes] + [0.0])
            if cover < least_cover:
                best, least_cover = box, cover
            if cover < 0.25:
                break
        figure.shift(*(best[:2] - low))
        figures.append(figure)
        boxes.append(best)
    return figures


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection of two boxes (x1, y1, x2, y2) over the smaller one."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    return float(np.prod(sides.clip(0)) / min(np.prod(a[2:] - a[:2]), np.prod(b[2:] - b[:2])))


def draw_obstacle(rng: np.random.Generator, canvas: Canvas, figure: Figure) -> None:
    """Cover part of a person with a block or a bar."""
    low, high = figure.extent()
    center = low + (high - low) * rng.uniform(0.1, 0.9, 2)
    if rng.random() < 0.5:
        half = rng.uniform(0.04, 0.13, 2) * figure.scale
        shape = center + half * [[-1, -1], [1, -1], [1, 1], [-1, 1]]
    else:
        turn = rng.uniform(0, np.pi)
        reach = np.array([np.cos(turn), np.sin(turn)]) * figure.scale * 0.4
        shape = hull(
            [(center - reach, 0.022 * figure.scale), (center + reach, 0.022 * figure.scale)]
        )
    canvas.polygon(shape, to_color(random_color(rng)), owner=0)


def annotate(
    figure: Figure, number: int, owner: np.ndarray, mask: np.ndarray, zoom: int
) -> dict | None:
    """COCO annotation of a drawn person, without ids.

    Args:
        figure (Figure): The person.
        number (int): The person's number in ``owner``.
        owner (np.ndarray): Part map of the finished canvas.
        mask (np.ndarray): The person's silhouette, in the same shape.
        zoom (int): Canvas pixels per picture pixel.

    Returns:
        dict | None: None if too little of the person is visible.
    """
    height, width = np.array(owner.shape) // zoom
    visible = (owner >> 5) == number
    area = int(np.count_nonzero(mask))
    if np.count_nonzero(visible) < MIN_VISIBLE * max(area, 1):
        return None
    head_depth = figure.points['head'][2]
    keypoints: list[float] = []
    for name in KEYPOINTS:
        x, y, z = figure.points[name]
        hidden = False
        if name in KEYPOINTS[:5]:
            toward = (z - head_depth) / figure.head_radius
            if name.endswith('ear'):
                hidden = bool(toward < -0.35)
            elif toward < 0.05:
                keypoints += [0, 0, 0]
                continue
        if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
            keypoints += [0, 0, 0]
            continue
        col, row = [int(round((v + 0.5) * zoom - 0.5)) for v in (x, y)]
        patch = owner[max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2]
        allowed = [number * 32 + PART_IDS[p] for p in JOINT_PARTS[name]]
        seen = sum(np.count_nonzero(patch == part) for part in allowed)
        hidden = hidden or bool(2 * seen < patch.size)
        keypoints += [round(float(x), 2), round(float(y), 2), 1 if hidden else 2]
    labelled = sum(v > 0 for v in keypoints[2::3])
    if labelled < MIN_LABELLED:
        return None
    x, y, w, h = cv2.boundingRect(mask)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    contours = [cv2.approxPolyDP(c, zoom, True) for c in contours]
    return dict(
        category_id=1,
        iscrowd=0,
        keypoints=keypoints,
        num_keypoints=labelled,
        bbox=[v / zoom for v in (x, y, w, h)],
        area=area / zoom**2,
        segmentation=[(c / zoom).ravel().tolist() for c in contours if len(c) > 2],
    )


def make_picture(
    seed: int, split: int, index: int, size: tuple[int, int], max_people: int
) -> tuple[np.ndarray, list[dict]]:
    """One picture (H, W, 3) uint8 BGR and its annotations without ids."""
    rng = np.random.default_rng([seed, split, index])
    background = make_background(rng, size)
    people: list[dict] = []
    while not people:
        figures = sample_figures(rng, size, max_people)
        obstacles = [int(rng.integers(2**31)) if rng.random() < 0.3 else None for _ in figures]
        while True:
            canvas = Canvas(background)
            masks = [figure.draw(canvas, number) for number, figure in enumerate(figures, 1)]
            for figure, obstacle in zip(figures, obstacles):
                if obstacle is not None:
                    draw_obstacle(np.random.default_rng(obstacle), canvas, figure)
            found = [
                annotate(figure, number, canvas.owner, mask, canvas.zoom)
                for number, (figure, mask) in enumerate(zip(figures, masks), 1)
            ]
            people = [person for person in found if person is not None]
            if len(people) == len(found):
                break
            # A hidden person is removed, and the scene drawn again.
            lost = found.index(None)
            del figures[lost], obstacles[lost]
    image = canvas.picture()
    grain = np.frombuffer(rng.bytes(image.size), np.uint8)
    strength = rng.uniform(0, 0.06)
    image = cv2.addWeighted(
        image, rng.uniform(0.85, 1.15), grain.reshape(image.shape), strength, -128 * strength
    )
    light = (*rng.uniform(-12, 12, 3), 0)  # as a scalar of OpenCV, one number per channel
    return np.asarray(cv2.add(image, light)), people  # type: ignore[call-overload]
