"""Drawing of synthetic people, part by part.

A person is a stack of convex parts, each the hull of circles around joints,
painted from far to near. Beside the picture, the canvas records which part of
which person is on top at every pixel, so the visibility of joints is exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .poses import FACE, KEYPOINTS, SIDES, Body, Color, shade

# A joint counts as visible where one of its parts is on top.
JOINT_PARTS: dict[str, tuple[str, ...]] = {name: ('head',) for name in KEYPOINTS[:5]}
for _side, _ in SIDES:
    _arm = (f'{_side}_upper_arm', f'{_side}_forearm')
    _leg = (f'{_side}_thigh', f'{_side}_shin')
    JOINT_PARTS.update(
        {
            f'{_side}_shoulder': ('torso', 'neck', _arm[0]),
            f'{_side}_elbow': _arm,
            f'{_side}_wrist': _arm[1:],
            f'{_side}_hip': ('torso',) + _leg[:1],
            f'{_side}_knee': _leg,
            f'{_side}_ankle': _leg[1:],
        }
    )
PART_IDS = {
    name: i
    for i, name in enumerate(
        ['torso', 'neck', 'head', 'hair']
        + [
            f'{side}_{part}'
            for side, _ in SIDES
            for part in ('upper_arm', 'forearm', 'thigh', 'shin')
        ]
    )
}


class Canvas:
    """Picture, part map and silhouettes, drawn at twice the size.

    Args:
        background (np.ndarray): Shape (H, W, 3), uint8, BGR.
        zoom (int): Supersampling factor. Defaults to 2.
    """

    def __init__(self, background: np.ndarray, zoom: int = 2) -> None:
        self.zoom = zoom
        self.size = background.shape[1], background.shape[0]
        self.image = cv2.resize(background, None, fx=zoom, fy=zoom)
        # Which part of which person is on top; 0 is everything else.
        self.owner = np.zeros(self.image.shape[:2], np.uint16)

    def fixed(self, points: np.ndarray) -> np.ndarray:
        """Convert picture coordinates to OpenCV's fixed point with 4 fractional bits."""
        points = (np.asarray(points) + 0.5) * self.zoom - 0.5
        return np.round(points * 16).astype(np.int32).reshape(-1, 1, 2)

    def polygon(
        self,
        points: np.ndarray,
        color: Color,
        owner: int | None = None,
        outline: float = 0.6,
        mask: np.ndarray | None = None,
    ) -> None:
        """Fill a polygon (N, 2) and darken its edge by ``outline``.

        Args:
            points (np.ndarray): Corners in picture coordinates.
            color (tuple): BGR.
            owner (int, optional): Value to write to the part map.
            outline (float): Factor on the colour of the edge, 0 for no edge.
            mask (np.ndarray, optional): Silhouette to add the polygon to.
        """
        points = self.fixed(points)
        cv2.fillPoly(self.image, [points], color, cv2.LINE_AA, 4)
        if outline:
            cv2.polylines(
                self.image, [points], True, shade(color, outline), self.zoom, cv2.LINE_AA, 4
            )
        if owner is not None:
            cv2.fillPoly(self.owner, [points], (owner,), cv2.LINE_8, 4)
        if mask is not None:
            cv2.fillPoly(mask, [points], (1,), cv2.LINE_8, 4)

    def lines(self, points: np.ndarray, color: Color, width: float) -> None:
        """Draw lines through ``points`` (N, 2)."""
        width = max(1, int(round(width * self.zoom)))
        cv2.polylines(self.image, [self.fixed(points)], False, color, width, cv2.LINE_AA, 4)

    def dot(self, center: np.ndarray, radius: float, color: Color) -> None:
        """Draw a disc."""
        x, y = self.fixed(center).ravel().tolist()
        cv2.circle(
            self.image, (x, y), int(round(radius * self.zoom * 16)), color, -1, cv2.LINE_AA, 4
        )

    def picture(self) -> np.ndarray:
        """The picture at its own size, shape (H, W, 3), uint8."""
        return cv2.resize(self.image, self.size, interpolation=cv2.INTER_AREA)


_RING = np.stack([np.cos(np.arange(20) * np.pi / 10), np.sin(np.arange(20) * np.pi / 10)], -1)


def hull(circles: Sequence[tuple[np.ndarray, float]]) -> np.ndarray:
    """Convex hull (N, 2) of circles given as (centre, radius)."""
    points = np.concatenate([c[:2] + r * _RING for c, r in circles])
    return cv2.convexHull(points.astype(np.float32))[:, 0]


@dataclass
class Figure:
    """A person in the picture.

    Attributes:
        body (Body): What the person looks like.
        points (dict): Points (3,): x, y in pixels (y down), z in pixels
            towards the viewer.
        scale (float): Pixels per unit of standing height.
    """

    body: Body
    points: dict[str, np.ndarray]
    scale: float

    @classmethod
    def from_view(cls, body: Body, points: dict[str, np.ndarray], scale: float) -> 'Figure':
        """Convert points of the view frame to pixels, with the pelvis at (0, 0)."""
        flip = np.array([1, -1, 1])
        return cls(
            body,
            {
                name: flip * point * (1 if cls.is_axis(name) else scale)
                for name, point in points.items()
            },
            scale,
        )

    @staticmethod
    def is_axis(name: str) -> bool:
        """Whether an entry of ``points`` is a direction."""
        return name == 'forward' or name.startswith('head_')

    def radius(self, value: float) -> float:
        """Thickness in pixels of a part of this person."""
        return value * self.body.girth * self.scale

    def shift(self, dx: float, dy: float) -> None:
        """Move the person in the picture."""
        offset = np.array([dx, dy, 0])
        for name in self.points:
            if not self.is_axis(name):
                self.points[name] = self.points[name] + offset

    def parts(self) -> list[tuple[float, str, np.ndarray, Color]]:
        """(depth, name, polygon, colour) of every part, far to near."""
        p, col, style = self.points, self.body.colors, self.body.style
        r = self.radius
        parts = []

        def add(name: str, bias: float, color: Color, *circles) -> None:
            depth = np.mean([c[2] for c, _ in circles]) / self.scale + bias
            parts.append((depth, name, hull(circles), color))

        add('neck', 0.005, shade(col['skin'], 0.9), (p['chest'], r(0.034)), (p['head'], r(0.034)))
        add(
            'torso',
            0,
            col['shirt'],
            (p['left_shoulder'], r(0.036)),
            (p['right_shoulder'], r(0.036)),
            (p['left_hip'], r(0.043)),
            (p['right_hip'], r(0.043)),
        )
        add('head', 0.04, col['hair'], (p['head'], 1))
        if style['long_hair']:
            behind = self.points['head_z'][2]
            tip = p['head'] + (p['chest'] - p['head']) * 1.25
            add(
                'hair',
                -0.09 if behind > 0 else 0.06,
                col['hair'],
                (p['head'], 0.85 * self.head_radius),
                (tip, 0.6 * self.head_radius),
            )
        sleeve = col['shirt'] if style['long_sleeves'] else col['skin']
        leg = col['trousers'] if style['long_trousers'] else col['skin']
        for side, _ in SIDES:
            q = {
                k: p[f'{side}_{k}']
                for k in ('shoulder', 'elbow', 'wrist', 'hand', 'hip', 'knee', 'ankle', 'toe')
            }
            add(
                f'{side}_upper_arm',
                0.02,
                shade(col['shirt'], 0.92),
                (q['shoulder'], r(0.036)),
                (q['elbow'], r(0.029)),
            )
            # The hand belongs to the forearm, and the shoe to the shin.
            add(
                f'{side}_forearm', 0.025, col['skin'], (q['wrist'], r(0.024)), (q['hand'], r(0.027))
            )
            add(
                f'{side}_forearm',
                0.03,
                shade(sleeve, 1.12),
                (q['elbow'], r(0.029)),
                (q['wrist'], r(0.022)),
            )
            add(
                f'{side}_thigh', -0.03, col['trousers'], (q['hip'], r(0.050)), (q['knee'], r(0.038))
            )
            add(f'{side}_shin', -0.05, col['shoes'], (q['ankle'], r(0.030)), (q['toe'], r(0.026)))
            add(
                f'{side}_shin',
                -0.04,
                shade(leg, 0.85),
                (q['knee'], r(0.038)),
                (q['ankle'], r(0.026)),
            )
        return sorted(parts, key=lambda part: part[0])

    @property
    def head_radius(self) -> float:
        """Radius of the head in pixels."""
        return self.body.lengths['head'] * self.scale

    def extent(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest x, y of the silhouette."""
        points = np.concatenate([part[2] for part in self.parts()] + [self.head_cap(-1.0)])
        return points.min(0), points.max(0)

    def head_cap(self, cosine: float, center: tuple[float, float] = (0.0, 1.0)) -> np.ndarray:
        """Outline (N, 2) of a round cap on the head, such as the face.

        Args:
            cosine (float): Cosine of the opening; -1 gives the whole head.
            center (tuple): y and z of the middle of the cap, head frame.
        """
        p, n = self.points, 14
        u, v = np.meshgrid(np.arange(2 * n) * np.pi / n, np.arange(n + 1) * np.pi / n)
        ball = np.stack([np.sin(v) * np.cos(u), np.cos(v), np.sin(v) * np.sin(u)], -1).reshape(
            -1, 3
        )
        middle = np.array([0, *center]) / np.hypot(*center)
        axes = np.stack([p['head_x'], p['head_y'], p['head_z']], 1)
        seen = ball @ axes.T
        keep = (ball @ middle >= cosine) & (seen[:, 2] >= -0.02)
        ball = ball[keep] * self.head_radius * np.array([0.88, 1.08, 0.95])
        if len(ball) < 3:
            return np.zeros((0, 2), np.float32)
        flat = (ball @ axes.T)[:, :2] + p['head'][:2]
        return cv2.convexHull(flat.astype(np.float32))[:, 0]

    def draw(self, canvas: Canvas, number: int) -> np.ndarray:
        """Draw the person over the picture.

        Args:
            canvas (Canvas): Canvas to draw on.
            number (int): The person's number, from 1, for ``owner``.

        Returns:
            np.ndarray: The whole silhouette, hidden parts included, in the
            size of the canvas; uint8, 0 or 1.
        """
        mask = np.zeros(canvas.owner.shape, np.uint8)
        for _, name, outline, color in self.parts():
            owner = number * 32 + PART_IDS[name]
            if name == 'head':
                self._draw_head(canvas, owner, mask)
                continue
            canvas.polygon(outline, color, owner, mask=mask)
            if name == 'torso':
                self._draw_torso(canvas)
        return mask

    def _draw_head(self, canvas: Canvas, owner: int, mask: np.ndarray) -> None:
        p, col, radius = self.points, self.body.colors, self.head_radius
        dark = (25, 20, 20)
        ears = [f'{side}_ear' for side, _ in SIDES]
        depth = {ear: p[ear][2] - p['head'][2] for ear in ears}

        def draw_ear(ear: str) -> None:
            shape = hull([(p[ear], 0.24 * radius)])
            canvas.polygon(shape, shade(col['skin'], 0.95), owner, 0.5, mask)

        for ear in ears:
            if depth[ear] < 0:
                draw_ear(ear)
        canvas.polygon(self.head_cap(-1.0), col['hair'], owner, mask=mask)
        face = self.head_cap(0.12, (-0.35, 1.0))
        if len(face) and p['head_z'][2] > -0.3:
            canvas.polygon(face, col['skin'], outline=0.75)
        for ear in ears:
            if depth[ear] >= 0:
                draw_ear(ear)
        seen = {k: p[k] for k in FACE if p[k][2] > p['head'][2] + 0.05 * radius}
        for eye in ('left_eye', 'right_eye'):
            if eye in seen:
                canvas.dot(seen[eye][:2], 0.21 * radius, (245, 245, 245))
                canvas.dot(seen[eye][:2], 0.13 * radius, dark)
        if 'nose' in seen:
            canvas.dot(seen['nose'][:2], 0.15 * radius, shade(col['skin'], 0.62))
        mouth = [seen[k][:2] for k in ('mouth_left', 'mouth_mid', 'mouth_right') if k in seen]
        if len(mouth) == 3:
            canvas.lines(np.array(mouth), (60, 50, 150), 0.12 * radius)

    def _draw_torso(self, canvas: Canvas) -> None:
        """The marks on the chest or on the back."""
        p, col, style = self.points, self.body.colors, self.body.style
        facing = p['forward'][2]
        lift = p['forward'] * self.radius(0.04) * np.sign(facing)
        corners = [p[f'{side}_{joint}'] for joint in ('shoulder', 'hip') for side, _ in SIDES]

        def at(u: float, t: float) -> np.ndarray:
            """Point at u (-1 right, 1 left) and t (0 top, 1 bottom)."""
            top = (corners[0] * (1 + u) + corners[1] * (1 - u)) / 2
            low = (corners[2] * (1 + u) + corners[3] * (1 - u)) / 2
            return (top * (1 - t) + low * t)[:2] + lift[:2]

        width = max(0.8, self.radius(0.013))
        if style['stripes']:
            for t in np.arange(0.2, 1.0, 0.2).tolist():
                canvas.lines(
                    np.array([at(-0.95, t), at(0.95, t)]), shade(col['shirt'], 0.75), width
                )
        if facing > 0:
            canvas.polygon(
                np.array([at(-0.42, -0.08), at(0.42, -0.08), at(0, 0.25)]), col['skin'], outline=0.6
            )
            if style['front'] == 'buttons':
                for t in (0.36, 0.54, 0.72, 0.90):
                    canvas.dot(at(0, t), 1.1 * width, col['trim'])
            else:
                reach = 1.08 if style['front'] == 'zip' else 0.6
                canvas.lines(np.array([at(0, 0.25), at(0, reach)]), col['trim'], width)
            if style['pockets']:
                for u in (-0.55, 0.55):
                    canvas.lines(
                        np.array([at(u - 0.22, 0.68), at(u + 0.22, 0.68)]), col['trim'], width
                    )
        elif style['backpack']:
            canvas.polygon(
                np.array([at(-0.62, 0.06), at(0.62, 0.06), at(0.7, 0.8), at(-0.7, 0.8)]),
                col['pack'],
            )
