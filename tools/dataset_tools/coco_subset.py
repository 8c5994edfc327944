"""Write a COCO keypoint annotation file with a few well-labelled people.

Picks people (not crowds) with at least --min-keypoints labelled joints and
keeps only them and their images, for example to see whether a model can
overfit them. With --num-images, picks whole images that hold such a person
and keeps everybody in them.
"""

import argparse
import json
import os
import random
import sys
import tempfile


def num_labelled(person: dict) -> int:
    """Number of joints with v > 0; 0 without joints."""
    return sum(v > 0 for v in person.get('keypoints', [])[2::3])


def pick(
    content: dict,
    min_keypoints: int,
    num_people: int = 64,
    num_images: int | None = None,
    seed: int = 0,
) -> dict:
    """Reduce the content of a COCO keypoint file.

    Args:
        content (dict): Content of the file; left as it is.
        min_keypoints (int): Labelled joints a person must have.
        num_people (int): People to keep, unless ``num_images`` is given.
        num_images (int, optional): Images to keep with all their people,
            each with at least one person of ``min_keypoints``.
        seed (int): Which of the candidates are picked.

    Returns:
        dict: The same layout; images and annotations in their old order.

    Raises:
        ValueError: If there are too few candidates.
    """
    image_ids = {image['id'] for image in content['images']}
    good = [
        a
        for a in content['annotations']
        if not a.get('iscrowd', 0)
        and a['image_id'] in image_ids
        and num_labelled(a) >= min_keypoints
    ]
    if num_images is None:
        wanted, pool, what = num_people, sorted(a['id'] for a in good), 'people'
    else:
        wanted, pool, what = num_images, sorted({a['image_id'] for a in good}), 'images'
    if len(pool) < wanted:
        fewest = 'with a person ' if num_images is not None else ''
        raise ValueError(
            f'asked for {wanted} {what}, but only {len(pool)} {what} '
            f'{fewest}with at least {min_keypoints} labelled joints are '
            f'there; lower --num-{what} or --min-keypoints'
        )
    chosen = set(random.Random(seed).sample(pool, wanted))
    key = 'id' if num_images is None else 'image_id'
    people: list[dict] = [a for a in content['annotations'] if a[key] in chosen]
    kept = {a['image_id'] for a in people}
    images = [image for image in content['images'] if image['id'] in kept]
    return {**content, 'images': images, 'annotations': people}


def write_json(content: dict, path: str) -> None:
    """Write the file whole or not at all."""
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    handle, temp = tempfile.mkstemp(suffix='.json', dir=folder)
    try:
        with os.fdopen(handle, 'w') as file:
            json.dump(content, file)
        os.chmod(temp, 0o644)
        os.replace(temp, path)
    except BaseException:
        os.unlink(temp)
        raise


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('in_json', help='COCO keypoint annotation file')
    parser.add_argument('out_json', help='file to write')
    group = parser.add_mutually_exclusive_group()
    group.add_argument('--num-people', type=int, default=64, help='people to keep (default: 64)')
    group.add_argument('--num-images', type=int, help='keep so many whole images instead')
    parser.add_argument(
        '--min-keypoints',
        type=int,
        default=12,
        help='labelled joints a person must have (default: 12)',
    )
    parser.add_argument('--seed', type=int, default=0, help='same seed, same choice (default: 0)')
    args = parser.parse_args()
    for name in ('num_people', 'num_images', 'min_keypoints'):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1, got {value}')
    return args


def main() -> None:
    args = parse_args()
    try:
        with open(args.in_json) as file:
            content = json.load(file)
        subset = pick(content, args.min_keypoints, args.num_people, args.num_images, args.seed)
    except OSError as error:
        sys.exit(f'cannot read {args.in_json}: {error.strerror}')
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        sys.exit(
            f'{args.in_json} is not a COCO keypoint annotation file: '
            f'{type(error).__name__}: {error}'
        )
    except ValueError as error:
        sys.exit(f'{args.in_json}: {error}')
    try:
        write_json(subset, args.out_json)
    except OSError as error:
        sys.exit(f'cannot write {args.out_json}: {error.strerror}')
    print(f'{args.out_json}: {len(subset["annotations"])} people in {len(subset["images"])} images')


if __name__ == '__main__':
    main()
