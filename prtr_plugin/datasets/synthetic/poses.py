"""Bodies and poses of synthetic people.

A figure is a small 3D skeleton of unit height, seen without perspective. The
body frame is x = the person's left, y = up, z = forwards; in the view frame
x points to the right of the picture, y up and z to the viewer. So a person
who faces the viewer has the left arm on the right of the picture.

The two sides of a body look alike: the only cues are the face and the
front of the clothes (neckline, zip or buttons, pockets) against hair, plain
cloth or a backpack on the back. A mirrored picture with swapped left/right
labels is therefore as likely as the original, and flips are a fair
augmentation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

KEYPOINTS = [
    'nose',
    'left_eye',
    'right_eye',
    'left_ear',
    'right_ear',
    'left_shoulder',
    'right_shoulder',
    'left_elbow',
    'right_elbow',
    'left_wrist',
    'right_wrist',
    'left_hip',
    'right_hip',
    'left_knee',
    'right_knee',
    'left_ankle',
    'right_ankle',
]
SIDES = (('left', 1.0), ('right', -1.0))
Color = tuple[int, int, int]
SKINS = np.array(
    [
        (180, 205, 245),
        (150, 185, 230),
        (125, 160, 215),
        (90, 130, 190),
        (60, 95, 150),
        (45, 65, 105),
    ],
    float,
)
HAIRS = np.array(
    [(25, 25, 30), (35, 50, 80), (60, 95, 140), (110, 180, 215), (160, 160, 165), (40, 60, 130)],
    float,
)
FACE = {  # directions in the head frame, before stretching to an ellipsoid
    'nose': (0.0, -0.10, 1.0),
    'left_eye': (0.42, 0.18, 0.89),
    'right_eye': (-0.42, 0.18, 0.89),
    'left_ear': (1.0, -0.02, -0.05),
    'right_ear': (-1.0, -0.02, -0.05),
    'mouth_left': (0.28, -0.50, 0.82),
    'mouth_mid': (0.0, -0.58, 0.82),
    'mouth_right': (-0.28, -0.50, 0.82),
}


def to_color(values: Sequence[float] | np.ndarray) -> Color:
    """Round and clip to a colour for OpenCV."""
    blue, green, red = np.clip(np.round(values), 0, 255)
    return int(blue), int(green), int(red)


def shade(color: Sequence[float], factor: float) -> Color:
    """A darker (factor < 1) or lighter colour."""
    return to_color(np.asarray(color, float) * factor)


def random_color(rng: np.random.Generator, low: int = 25, high: int = 240) -> np.ndarray:
    """BGR values (3,) between ``low`` and ``high``."""
    return rng.uniform(low, high, 3)


@dataclass
class Body:
    """Proportions (in units of the standing height) and clothes of a person.

    Attributes:
        lengths (dict): Lengths of bones, half widths and the head radius.
        girth (float): Factor on the thickness of every part.
        colors (dict): BGR colours of skin, hair, shirt, trousers, ...
        style (dict): Choices such as ``long_sleeves`` or ``front``.
    """

    lengths: dict[str, float]
    girth: float
    colors: dict[str, Color]
    style: dict[str, object]


def sample_body(rng: np.random.Generator) -> Body:
    """Draw the proportions and the clothes of one person."""
    means = dict(
        shoulder=0.125,
        hip=0.075,
        torso=0.29,
        neck=0.035,
        head=0.082,
        upper_arm=0.165,
        forearm=0.15,
        thigh=0.235,
        shin=0.22,
        hand=0.035,
        foot=0.05,
    )
    lengths = {k: v * rng.uniform(0.88, 1.12) for k, v in means.items()}
    skin = SKINS[rng.integers(len(SKINS))] + rng.normal(0, 8, 3)
    # With hair like the skin, the back of a head would look like a face.
    hairs = HAIRS[np.abs(HAIRS - skin).mean(1) > 40]
    hair = hairs[rng.integers(len(hairs))] + rng.normal(0, 8, 3)
    shirt, trousers = random_color(rng), random_color(rng, 15, 200)
    # Trimmings must stand out from the shirt, or front and back would look alike.
    trim = 235 if shirt.mean() < 125 else 25
    colors = dict(
        skin=to_color(skin),
        hair=to_color(hair),
        shirt=to_color(shirt),
        trousers=to_color(trousers),
        shoes=to_color(random_color(rng, 10, 255)),
        trim=to_color(trim + rng.normal(0, 12, 3)),
        pack=to_color(random_color(rng)),
    )
    style = dict(
        long_sleeves=rng.random() < 0.5,
        long_trousers=rng.random() < 0.6,
        front=rng.choice(['zip', 'buttons', 'shirt']),
        pockets=rng.random() < 0.5,
        backpack=rng.random() < 0.5,
        stripes=rng.random() < 0.2,
        long_hair=rng.random() < 0.3,
    )
    return Body(lengths, rng.uniform(0.95, 1.4), colors, style)


def direction(side: float, away: float, forward: float) -> np.ndarray:
    """Unit vector of a limb.

    Args:
        side (float): +1 for left limbs, -1 for right ones.
        away (float): Degrees from straight down, sideways off the body.
        forward (float): Degrees out of the frontal plane, forwards.

    Returns:
        np.ndarray: Shape (3,), body frame.
    """
    a, f = np.deg2rad([away, forward])
    return np.array([side * np.sin(a) * np.cos(f), -np.cos(a) * np.cos(f), np.sin(f)])


def rotation(axis: str, degrees: float) -> np.ndarray:
    """Rotation matrix (3, 3) about one of the axes x, y, z."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array(
        {
            'x': [[1, 0, 0], [0, c, -s], [0, s, c]],
            'y': [[c, 0, s], [0, 1, 0], [-s, 0, c]],
            'z': [[c, -s, 0], [s, c, 0], [0, 0, 1]],
        }[axis]
    )


def sample_arm(rng: np.random.Generator) -> list[tuple[float, float]]:
    """(away, forward) in degrees of the upper arm and the forearm."""
    u = rng.uniform
    kind = rng.choice(
        ['down', 'bent', 'hip', 'side', 'wave', 'up', 'front'],
        p=[0.30, 0.12, 0.12, 0.14, 0.12, 0.12, 0.08],
    )
    if kind == 'down':
        away = u(5, 28)
        return [(away, u(-12, 12)), (away + u(-12, 20), u(0, 25))]
    if kind == 'bent':
        return [(u(8, 30), u(-20, 15)), (u(-20, 60), u(20, 60))]
    if kind == 'hip':
        return [(u(35, 60), u(-25, 0)), (u(-55, -25), u(0, 20))]
    if kind == 'side':
        away = u(45, 100)
        return [(away, u(-15, 25)), (away + u(-30, 30), u(-5, 30))]
    if kind == 'wave':
        return [(u(50, 100), u(-10, 15)), (u(140, 205), u(-5, 20))]
    if kind == 'up':
        away = u(115, 170)
        return [(away, u(-10, 20)), (away + u(-15, 35), u(-10, 20))]
    return [(u(5, 35), u(30, 60)), (u(-30, 60), u(25, 65))]


def sample_legs(rng: np.random.Generator) -> list[list[tuple[float, float]]]:
    """(away, forward) in degrees of thigh and shin, two legs."""
    u = rng.uniform
    kind = rng.choice(
        ['stand', 'walk', 'wide', 'lift', 'sit', 'crouch'], p=[0.38, 0.20, 0.15, 0.09, 0.10, 0.08]
    )
    if kind == 'stand':
        legs = [[(a, u(-4, 8)), (a + u(-8, 4), u(-12, 0))] for a in u(1, 12, 2)]
    elif kind == 'walk':
        swing = u(12, 35)
        legs = [
            [(u(0, 10), swing), (u(0, 10), swing - u(5, 35))],
            [(u(0, 10), -swing), (u(0, 10), -swing - u(5, 40))],
        ]
    elif kind == 'wide':
        legs = [[(a, u(-5, 12)), (a + u(-25, 5), u(-20, 0))] for a in u(14, 42, 2)]
    elif kind == 'lift':
        legs = [
            [(u(1, 9), u(-4, 6)), (u(-2, 8), u(-10, 0))],
            [(u(10, 50), u(15, 50)), (u(-30, 15), u(-50, -10))],
        ]
    elif kind == 'sit':
        legs = [[(a, u(55, 75)), (a * u(-0.3, 0.8), u(-15, 15))] for a in u(12, 35, 2)]
    else:
        legs = [[(a, u(10, 45)), (u(-25, 10), u(-40, -10))] for a in u(40, 75, 2)]
    return legs if rng.random() < 0.5 else legs[::-1]


def sample_points(rng: np.random.Generator, body: Body) -> dict[str, np.ndarray]:
    """Draw a pose and the side from which it is seen.

    Returns:
        dict: Points (3,) of unit height in the view frame, with the pelvis at
        the origin; ``forward`` and ``head_*`` axes are directions.
    """
    size = body.lengths
    spine = rotation('z', rng.normal(0, 9)) @ rotation('x', rng.uniform(-4, 14))
    shoulders = spine @ rotation('z', rng.normal(0, 5))
    up = spine @ np.array([0, size['torso'], 0])
    pts = dict(pelvis=np.zeros(3), chest=up, forward=spine[:, 2])
    legs = sample_legs(rng)
    for (side, sign), leg in zip(SIDES, legs):
        shoulder = up + shoulders @ np.array([sign * size['shoulder'], 0, 0])
        hip = np.array([sign * size['hip'], 0, 0])
        upper, fore = [direction(sign, *arm) for arm in sample_arm(rng)]
        thigh, shin = [direction(sign, *part) for part in leg]
        elbow = shoulder + size['upper_arm'] * upper
        wrist = elbow + size['forearm'] * fore
        knee = hip + size['thigh'] * thigh
        ankle = knee + size['shin'] * shin
        toe = ankle + size['foot'] * np.array([sign * 0.5, -0.35, 0.8])
        for name, point in dict(
            shoulder=shoulder,
            elbow=elbow,
            wrist=wrist,
            hip=hip,
            knee=knee,
            ankle=ankle,
            toe=toe,
            hand=wrist + size['hand'] * fore,
        ).items():
            pts[f'{side}_{name}'] = point

    turn = (
        spine
        @ rotation('z', rng.normal(0, 6))
        @ rotation('y', np.clip(rng.normal(0, 13), -28, 28))
        @ rotation('x', rng.uniform(-8, 14))
    )
    radius = size['head']
    head = up + turn @ np.array([0, size['neck'] + 1.08 * radius, 0])
    pts.update(head=head, head_x=turn[:, 0], head_y=turn[:, 1], head_z=turn[:, 2])
    stretch = radius * np.array([0.88, 1.08, 0.95])
    for name, vector in FACE.items():
        vector = np.array(vector) / np.linalg.norm(vector)
        pts[name] = head + turn @ (stretch * vector)

    back = rng.random() < 0.25
    yaw = (180 if back else 0) + np.clip(rng.normal(0, 22), -48, 48)
    roll = rng.normal(0, 6) if rng.random() < 0.88 else rng.uniform(-50, 50)
    view = rotation('z', roll) @ rotation('x', rng.uniform(0, 12)) @ rotation('y', yaw)
    return {name: view @ point for name, point in pts.items()}
