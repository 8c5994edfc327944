r"""Find the joints of people with an exported ONNX model, without PyTorch.

Needs numpy, scipy, opencv-python and onnxruntime, and nothing else from this
project: copy this file along with the model. A two-stage model reads one person
for each --bbox, a cascade finds the people itself.

With --with-readout the result is JSON: joints in pixels of the image, with
scores. Without it, the result is the inputs and outputs of the network as
arrays (--out FILE.npz), to check a deployment in another language against.

Example:
    python reader.py model.onnx person.jpg --bbox 50 20 170 300 \
        --with-readout --out joints.json --draw drawn.png
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from numbers import Real

try:
    import cv2
    import numpy as np
    from scipy.optimize import linear_sum_assignment
    from scipy.special import softmax

    if __name__ == '__main__':  # the package reads images with this file, and needs no more
        import onnxruntime  # noqa: F401
except ImportError as error:
    if __name__ != '__main__':
        raise
    sys.exit(
        f'Error: {error.name} is missing. Install what this script needs '
        'with `pip install numpy scipy opencv-python onnxruntime`.'
    )

# RGB, for files that were exported without the colours of their dataset
COLOR = (255, 128, 0)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('model', help='.onnx file of export_onnx.py')
    add('image', help='image file')
    readout = 'assign queries to joints and return joints, not raw outputs'
    add('--with-readout', action='store_true', help=readout)
    corners = ('X1', 'Y1', 'X2', 'Y2')
    box = 'box of a person, for two-stage models; once for each person (default: the whole image)'
    add('--bbox', type=float, nargs=4, action='append', metavar=corners, help=box)
    flip = 'average with the mirrored crop; for two-stage models'
    add('--flip-test', action='store_true', help=flip)
    for name, what in (
        ('--score-thr', 'lowest score of a person, for cascades (default: 0.3)'),
        ('--kpt-thr', 'lowest score of a joint that is drawn (default: 0.3)'),
    ):
        add(name, type=float, default=0.3, help=what)
    out = 'write the result to this .json file, or .npz without --with-readout (default: print it)'
    add('--out', help=out)
    add('--draw', help='draw the joints into this image file')
    add('--force', action='store_true', help='replace results that exist')
    device = 'default: cuda if onnxruntime has it, else cpu'
    add('--device', choices=['cpu', 'cuda'], help=device)
    args = parser.parse_args()
    ending = '.json' if args.with_readout else '.npz'
    if args.out and not args.out.endswith(ending):
        parser.error(f'--out must end with {ending} here: .json is for --with-readout')
    if not args.with_readout and (args.draw or args.flip_test):
        parser.error('--draw and --flip-test need --with-readout')
    return args


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image file, in shape (H, W, 3), BGR, uint8.

    Raises:
        OSError: If the file does not exist or may not be read.
        ValueError: If it is not an image, or damaged.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f'The file "{path}" does not exist.')
    if not os.path.isfile(path):
        raise ValueError(f'"{path}" is not a file.')
    with open(path, 'rb') as file:
        return decode_image(file.read(), path)


def decode_image(content: bytes, name: str | os.PathLike) -> np.ndarray:
    """Like :func:`read_image`, from the content of a file."""
    reason = 'it is empty'
    if content:
        try:
            pixels = np.frombuffer(content, np.uint8)
            image = cv2.imdecode(pixels, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
            if image is not None and image.dtype == np.uint16:
                image = cv2.imdecode(pixels, cv2.IMREAD_COLOR)
        except cv2.error as error:
            image, reason = None, str(error.err)
        else:
            reason = 'OpenCV does not know its format, or it is damaged or cut off'
        if image is not None:
            if image.dtype == np.uint8 and not _is_cut_off(content):
                return image
            reason = (
                f'it has pixels of {image.dtype}' if image.dtype != np.uint8 else 'it is cut off'
            )
    raise ValueError(
        f'The file "{name}" cannot be read as an image: {reason}. '
        'Get it again, or convert it to JPEG or PNG.'
    )


def _is_cut_off(content: bytes) -> bool:
    """Whether a JPEG file lacks its end, which OpenCV fills with grey."""
    start = 2
    while content[:2] == b'\xff\xd8' and content[start : start + 1] == b'\xff':
        if content[start + 1] == 0xDA:  # pixels follow, in which these bytes do not occur
            return b'\xff\xd9' not in content[start:]
        # a segment, such as a small picture, which has an end of its own
        start += 2 + int.from_bytes(content[start + 2 : start + 4], 'big')
    return False


def to_uint8(image: np.ndarray, name: str) -> np.ndarray:
    """An image with values from 0 to 255, if its own have one meaning.

    Args:
        image (np.ndarray): In shape (H, W, 3): uint8 or whole numbers of
            another type from 0 to 255, floats from 0 to 1, or bool
        name (str): What to call it in an error

    Returns:
        np.ndarray: The same in uint8.

    Raises:
        ValueError: If it has another shape, type or range.
    """
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f'{name} must have shape (H, W, 3), but has {image.shape}.')
    if image.dtype == np.uint8:
        return image
    found = ''
    if image.dtype.kind in 'biuf':
        low, high = image.min(), image.max()
        if low >= 0 and high <= 1 and image.dtype.kind in 'bf':
            return np.rint(image.astype(np.float32) * 255).astype(np.uint8)
        if low >= 0 and high <= 255 and (image == np.rint(image)).all():
            return image.astype(np.uint8)
        found = f' with values from {low:g} to {high:g}'
    raise ValueError(
        f'{name} must be of dtype uint8 with values from 0 to 255, or of floats from 0 to 1, but '
        f'is of {image.dtype}{found}. Scale it to that range and convert it with astype(np.uint8).'
    )


def check_boxes(boxes: Sequence | np.ndarray, size: Sequence[int], name: str) -> np.ndarray:
    """Check boxes in [x1, y1, x2, y2], in shape (N, 4), of an image of a size (w, h).

    Raises:
        ValueError: If they are not numbers in that shape, have no area, or lie outside the
            image.
    """
    array = np.asarray(boxes, np.float32)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(
            f'{name} must be in shape (N, 4), a list of [x1, y1, x2, y2], but {boxes} is in shape '
            f'{array.shape}.'
        )
    # a comparison with NaN is false
    valid = (array[:, :2] < array[:, 2:]) & (abs(array) < 1e6).all(axis=1, keepdims=True)
    inside = (array[:, 2:] > 0) & (array[:, :2] < np.array(size))
    for good, problem in (
        (valid, 'have numbers with x1 < x2 and y1 < y2 in [x1, y1, x2, y2]'),
        (inside, f'overlap the image of {size[0]}x{size[1]} pixels'),
    ):
        if not good.all():
            wrong = array[~good.all(axis=1)].tolist()
            raise ValueError(f'{name} must {problem}, but has {wrong}.')
    return array


class Model:
    """An exported model with its metadata.

    Args:
        path (str): ONNX file
        device (str, optional): ``'cpu'`` or ``'cuda'``. Defaults to None, for
            CUDA if onnxruntime has it

    Attributes:
        meta (dict): The metadata
        output_names (List[str]): Names of the outputs

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it was not written by export_onnx.py, or onnxruntime
            lacks the device.
    """

    def __init__(self, path: str, device: str | None = None) -> None:
        if not os.path.isfile(path):
            raise FileNotFoundError(f'The model {path} does not exist.')
        import onnxruntime

        providers = ['CPUExecutionProvider']
        if 'CUDAExecutionProvider' in onnxruntime.get_available_providers():
            if device != 'cpu':
                providers.insert(0, 'CUDAExecutionProvider')
        elif device == 'cuda':
            raise ValueError(
                'This onnxruntime has no CUDA. Install onnxruntime-gpu, or use the device cpu.'
            )
        try:
            self.session = onnxruntime.InferenceSession(path, providers=providers)
        except Exception as error:  # of many kinds, depending on the file
            raise ValueError(f'{path} cannot be read as an ONNX model: {error}') from error
        self.output_names = [x.name for x in self.session.get_outputs()]
        properties = self.session.get_modelmeta().custom_metadata_map
        if 'kind' not in properties:
            raise ValueError(
                f'{path} lacks the metadata that export_onnx.py writes. Export the model with it.'
            )
        self.meta = {k: json.loads(v) for k, v in properties.items()}

    @property
    def is_cascade(self) -> bool:
        """Whether it takes whole images, not crops of people."""
        return self.meta['kind'] == 'cascade'

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Run images in shape (N, 3, H, W), uint8; returns the outputs by name."""
        outputs = self.session.run(None, {'images': images})
        return dict(zip(self.output_names, outputs))

    def read_out(self, cls_logits: np.ndarray, coords: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Assign a query to each joint.

        Args:
            cls_logits (np.ndarray): Class logits in shape (N, Q, K + 1), the
                last class for "no keypoint"
            coords (np.ndarray): Coordinates in shape (N, Q, 2)

        Returns:
            tuple:
            - keypoints (np.ndarray): Coordinates in shape (N, K, 2)
            - scores (np.ndarray): Class probabilities in shape (N, K)
        """
        if not self.meta['include_background']:
            cls_logits = cls_logits[..., :-1]
        num_joints = len(self.meta['keypoint_names'])
        probs = softmax(cls_logits, axis=-1)[..., :num_joints]
        keypoints = np.zeros((len(probs), num_joints, 2), np.float32)
        scores = np.zeros((len(probs), num_joints), np.float32)
        for i, prob in enumerate(probs):
            queries, joints = linear_sum_assignment(prob, maximize=True)
            keypoints[i, joints] = coords[i, queries]
            scores[i, joints] = prob[queries, joints]
        return keypoints, scores


def crop_person(
    image: np.ndarray, bbox: Sequence[float], input_size: Sequence[int], padding: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crop a person like mmpose's GetBBoxCenterScale and TopdownAffine.

    Args:
        image (np.ndarray): Image in shape (H, W, 3)
        bbox (Sequence[float]): Box in [x1, y1, x2, y2], in pixels
        input_size (Sequence[int]): Size of the crop in [w, h]
        padding (float): Size of the crop relative to the box

    Returns:
        tuple:
        - crop (np.ndarray): In shape (h, w, 3)
        - center (np.ndarray): Its center [x, y] in pixels of the image
        - scale (np.ndarray): Its size [w, h] in pixels of the image
    """
    low, high = np.array(bbox, dtype=np.float32).reshape(2, 2)
    width, height = input_size
    center = (low + high) / 2
    w, h = (high - low) * np.float32(padding)
    # extend one side, as the crop must not be distorted
    if w > h * (width / height):
        h = w / (width / height)
    else:
        w = h * (width / height)
    # center, middle of the left edge, and a point at a right angle below
    source = [center, center - [w / 2, 0], center + [-w / 2, w / 2]]
    target = [[width / 2, height / 2], [0, height / 2], [0, height / 2 + width / 2]]
    matrix = cv2.getAffineTransform(*np.array((source, target), np.float32))
    crop = cv2.warpAffine(image, matrix, (width, height))
    return crop, center, np.array([w, h])


def resize_image(
    image: np.ndarray, input_size: Sequence[int], keep_ratio: bool, divisor: int
) -> np.ndarray:
    """Resize an image for a cascade.

    Args:
        image (np.ndarray): Image in shape (H, W, 3)
        input_size (Sequence[int]): Largest size in [w, h], or in [h, w] for
            an image that is higher than wide
        keep_ratio (bool): Whether to keep the aspect ratio and fit into that
            size instead of filling it
        divisor (int): Width and height become multiples of it

    Returns:
        np.ndarray: Image in shape (h, w, 3).

    Raises:
        ValueError: If nothing would be left of a thin image.
    """
    size = list(input_size)
    if keep_ratio:
        sides = image.shape[1::-1]
        factor = min(max(input_size) / max(sides), min(input_size) / min(sides))
        size = [int(side * factor + 0.5) for side in sides]
        if not min(size):
            raise ValueError(f'An image of {sides[0]}x{sides[1]} pixels is too thin.')
    size = [max(1, round(side / divisor)) * divisor for side in size]
    return cv2.resize(image, size)


def prepare(
    model: Model, image: np.ndarray, bboxes: list[Sequence[float]] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make the input images of the network.

    Args:
        model (Model): Model
        image (np.ndarray): Image in shape (H, W, 3), BGR, see :func:`to_uint8`
        bboxes (List[Sequence[float]], optional): Boxes in [x1, y1, x2, y2],
            in pixels, for a two-stage model. Defaults to the whole image

    Returns:
        tuple:
        - images (np.ndarray): A crop for each box, or the resized image for
            a cascade, in shape (N, 3, h, w)
        - centers, scales (np.ndarray): Their centers [x, y] and sizes [w, h]
            in pixels of the image, each in shape (N, 2)

    Raises:
        ValueError: If there are boxes for a cascade, or one is not valid.
    """
    meta = model.meta
    image = to_uint8(image, 'The image')
    size = np.array(image.shape[1::-1], dtype=np.float32)
    if not model.is_cascade:
        if bboxes is None or not len(bboxes):
            bboxes = [[0, 0, *size]]
        boxes = check_boxes(bboxes, image.shape[1::-1], 'bboxes')
        crops = [crop_person(image, b, meta['input_size'], meta['bbox_padding']) for b in boxes]
        images, centers, scales = map(np.stack, zip(*crops))
        return images.transpose(0, 3, 1, 2), centers, scales
    if bboxes is not None and len(bboxes):
        raise ValueError('A cascade finds the people itself and takes no boxes. Leave them out.')
    resized = resize_image(image, meta['input_size'], meta['keep_ratio'], meta['size_divisor'])
    return resized.transpose(2, 0, 1)[None], size[None] / 2, size[None]


def select_people(
    boxes: np.ndarray, scores: np.ndarray, score_thr: float, nms_thr: float | None
) -> np.ndarray:
    """Choose the people of a cascade to keep.

    Args:
        boxes (np.ndarray): Boxes in [cx, cy, w, h] in shape (P, 4)
        scores (np.ndarray): Their scores, from high to low, in shape (P, )
        score_thr (float): Score above which a person is kept
        nms_thr (float, optional): IoU above which the person with the lower
            score is dropped, ``None`` to keep both

    Returns:
        np.ndarray: Indices of the people to keep.
    """
    kept = np.flatnonzero(scores > score_thr)
    if nms_thr is None or not len(kept):
        return kept
    # [x1, y1, w, h], inside the image
    middle, sides = np.split(boxes[kept].astype(float), 2, axis=-1)
    low, high = (middle - sides / 2).clip(0, 1), (middle + sides / 2).clip(0, 1)
    rectangles = np.concatenate((low, high - low), axis=-1).tolist()
    unique = cv2.dnn.NMSBoxes(rectangles, scores[kept].astype(float).tolist(), score_thr, nms_thr)
    return kept[np.sort(unique)]


def predict(
    model: Model,
    image: np.ndarray,
    bboxes: list[Sequence[float]] | None = None,
    flip_test: bool = False,
    score_thr: float = 0.3,
) -> list[dict]:
    """Predict the joints of the people in an image.

    Args:
        model (Model): Model
        image (np.ndarray): Image in shape (H, W, 3), BGR, see :func:`to_uint8`
        bboxes (List[Sequence[float]], optional): See :func:`prepare`
        flip_test (bool): Whether a two-stage model averages with the mirrored
            crops, as in testing; only PRTR+ averages maps there. Defaults to
            ``False``
        score_thr (float): Score above which a cascade returns a person.
            Defaults to 0.3

    Returns:
        List[dict]: For each person ``bbox`` in [x1, y1, x2, y2],
        ``bbox_score``, ``keypoints`` in shape (K, 2), in pixels of the image,
        and ``keypoint_scores`` in shape (K, ).

    Raises:
        ValueError: If an argument does not fit the model.
    """
    if model.is_cascade and flip_test:
        raise ValueError('flip_test is for two-stage models, but this is a cascade. Leave it out.')
    if not (isinstance(score_thr, Real) and 0 <= score_thr <= 1):
        raise ValueError(f'score_thr must be from 0 to 1, but is {score_thr!r}.')
    images, centers, scales = prepare(model, image, bboxes)
    meta, out = model.meta, model(images)
    if model.is_cascade:
        out = {name: value[0] for name, value in out.items()}
        found = select_people(out['boxes'], out['scores'], score_thr, meta.get('nms_thr'))
        out = {name: value[found] for name, value in out.items()}
        middle, sides = np.split(out['boxes'], 2, axis=-1)
        corners = np.stack((middle - sides / 2, middle + sides / 2), axis=1)
        bboxes = (corners.clip(0, 1) * scales).reshape(-1, 4)
        bbox_scores = out['scores']
    else:
        if bboxes is None or not len(bboxes):
            bboxes = [[0, 0, *image.shape[1::-1]]]
        bbox_scores = np.ones(len(bboxes))

    keypoints, scores = model.read_out(out['cls_logits'], out['coords'])
    if flip_test:
        flip_indices = meta['flip_indices']
        mirrored, mirrored_scores = model.read_out(**model(images[..., ::-1]))
        mirrored = mirrored[:, flip_indices]
        # of mirrored pixel centers, if the config says so
        shift = meta.get('shift_coords', False) / meta['input_size'][0]
        mirrored[..., 0] = 1 - shift - mirrored[..., 0]
        keypoints = (keypoints + mirrored) / 2
        scores = (scores + mirrored_scores[:, flip_indices]) / 2
    # from the network's images to the whole one
    keypoints = (keypoints - 0.5) * scales[:, None] + centers[:, None]
    return [
        dict(
            bbox=np.asarray(bbox).tolist(),
            bbox_score=float(bbox_score),
            keypoints=points.tolist(),
            keypoint_scores=point_scores.tolist(),
        )
        for bbox, bbox_score, points, point_scores in zip(bboxes, bbox_scores, keypoints, scores)
    ]


def draw(image: np.ndarray, people: list[dict], meta: dict, kpt_thr: float) -> np.ndarray:
    """Draw joints and links in the colours of the dataset.

    Args:
        image (np.ndarray): Image in shape (H, W, 3), BGR, uint8
        people (List[dict]): See :func:`predict`
        meta (dict): The metadata of the model
        kpt_thr (float): Score below which a joint is not drawn

    Returns:
        np.ndarray: A picture, enlarged if the image is small.
    """
    zoom = max(1, round(640 / max(image.shape[:2])))
    canvas = cv2.resize(image, None, fx=zoom, fy=zoom)
    width = max(1, round(max(canvas.shape[:2]) / 400))
    links = meta['skeleton_links']
    colors, link_colors = (
        [tuple(color[::-1]) for color in meta.get(key) or [COLOR] * number]
        for key, number in (
            ('keypoint_colors', len(meta['keypoint_names'])),
            ('skeleton_link_colors', len(links)),
        )
    )

    def to_pixel(point: Sequence[float]) -> tuple[int, ...]:
        return tuple(round(x * zoom) for x in point)

    for person in people:
        x1, y1, x2, y2 = person['bbox']
        cv2.rectangle(canvas, to_pixel((x1, y1)), to_pixel((x2, y2)), (255, 255, 255), width)
        points = list(map(to_pixel, person['keypoints']))
        shown = [score >= kpt_thr for score in person['keypoint_scores']]
        for (a, b), color in zip(links, link_colors):
            if shown[a] and shown[b]:
                cv2.line(canvas, points[a], points[b], color, width, cv2.LINE_AA)
        for point, color, seen in zip(points, colors, shown):
            if seen:
                cv2.circle(canvas, point, 2 * width, color, -1, cv2.LINE_AA)
    return canvas


def check_outputs(args: argparse.Namespace) -> None:
    """Check that the results can be written, before anything is computed."""
    for path in filter(None, (args.out, args.draw)):
        if not os.access(os.path.dirname(path) or '.', os.W_OK):
            raise ValueError(f'{path} cannot be written: make its folder first.')
        if os.path.exists(path) and (not args.force or path in (args.image, args.model)):
            raise ValueError(f'{path} exists. Give another name, or --force to replace a result.')
    if args.draw and not cv2.haveImageWriter(args.draw):
        raise ValueError(f'{args.draw} must have the ending of a picture, such as .png.')


def run(args: argparse.Namespace) -> None:
    """Read an image and write the result."""
    check_outputs(args)
    model = Model(args.model, args.device)
    image = read_image(args.image)
    try:
        if args.with_readout:
            people = predict(model, image, args.bbox, args.flip_test, args.score_thr)
        else:
            images = prepare(model, image, args.bbox)[0]
    except ValueError as error:
        raise ValueError(f'{args.image}: {error}') from error
    if not args.with_readout:
        outputs = dict(images=images, **model(images))
        for name, value in outputs.items():
            print(f'{name}: {value.dtype} {value.shape}')
        if args.out:
            np.savez(args.out, **outputs)  # type: ignore[arg-type]
        return
    names = model.meta['keypoint_names']
    text = json.dumps(dict(image=args.image, keypoint_names=names, people=people), indent=2)
    if args.draw and not cv2.imwrite(args.draw, draw(image, people, model.meta, args.kpt_thr)):
        raise ValueError(f'{args.draw} cannot be written.')
    if args.out:
        with open(args.out, 'w') as file:
            file.write(text)
    else:
        print(text)


def main() -> None:
    """Run the script."""
    args = parse_args()
    try:
        run(args)
    except (OSError, ValueError, cv2.error) as error:
        sys.exit(f'Error: {error}')


if __name__ == '__main__':
    main()
