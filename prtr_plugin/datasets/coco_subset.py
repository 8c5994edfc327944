import json
import random
from pathlib import Path

from ..fileio import write_file


def write_coco_subset(
    in_json: str | Path,
    out_json: str | Path,
    num_people: int = 64,
    num_images: int | None = None,
    min_keypoints: int = 12,
    seed: int = 0,
) -> dict:
    """Write a COCO keypoint annotation file with a few well-labelled people.

    Picks people (not crowds) with at least ``min_keypoints`` labelled joints
    and keeps only them and their images, for example to see whether a model
    can overfit them. With ``num_images``, picks whole images that show such a
    person and keeps everybody in them.

    Args:
        in_json (str | Path): COCO keypoint annotation file
        out_json (str | Path): File to write, with its folders
        num_people (int): People to keep, unless ``num_images`` is given.
            Defaults to 64
        num_images (int, optional): Images to keep with all their people, each
            with at least one person of ``min_keypoints``. Defaults to None
        min_keypoints (int): Labelled joints a person must have. Defaults to
            12
        seed (int): Seed of the choice among the candidates. Defaults to 0

    Returns:
        dict: The content of the written file, in the layout of ``in_json``,
        with images and annotations in their original order.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If ``in_json`` is not a COCO keypoint annotation file or
            has too few candidates, or a number is below 1.
    """
    numbers = dict(num_people=num_people, num_images=num_images, min_keypoints=min_keypoints)
    for name, number in numbers.items():
        if number is not None and number < 1:
            raise ValueError(f'{name} must be at least 1, but got {number}.')
    try:
        content = json.loads(Path(in_json).read_text(encoding='utf-8'))
        candidates = _candidates(content, min_keypoints)
        key, wanted, what, of = 'id', num_people, 'people', ''
        if num_images is not None:
            key, wanted, what, of = 'image_id', num_images, 'images', ' with a person'
        pool = sorted({person[key] for person in candidates})
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f'{in_json} is not a COCO keypoint annotation file: {type(error).__name__}: {error}'
        ) from error
    if len(pool) < wanted:
        raise ValueError(
            f'{in_json} has only {len(pool)} {what}{of} with at least {min_keypoints} '
            f'labelled joints, but num_{what} is {wanted}: lower num_{what} or min_keypoints.'
        )
    chosen = set(random.Random(seed).sample(pool, wanted))
    people = [person for person in content['annotations'] if person.get(key) in chosen]
    kept = {person['image_id'] for person in people}
    images = [image for image in content['images'] if image['id'] in kept]
    subset = {**content, 'images': images, 'annotations': people}
    with write_file(out_json) as file:
        file.write_text(json.dumps(subset), encoding='utf-8')
    return subset


def _candidates(content: dict, min_keypoints: int) -> list[dict]:
    """People in images of the file who have enough labelled joints."""
    image_ids = {image['id'] for image in content['images']}
    return [
        person
        for person in content['annotations']
        if not person.get('iscrowd', 0)
        and person['image_id'] in image_ids
        and sum(v > 0 for v in person.get('keypoints', [])[2::3]) >= min_keypoints
    ]
