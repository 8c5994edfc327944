import numpy as np

from .columns import is_id, number_column
from .findings import Finding
from .people import check_boxes
from .reading import read_json
from .section import Section

# the only one that mmpose reads
PERSON = 1


def check_detections(
    bbox_file: str, images: dict[int, int], sizes: np.ndarray
) -> tuple[list[Finding], np.ndarray]:
    """Look at a file with the boxes of a detector.

    Args:
        bbox_file (str): JSON file, a list of objects with ``image_id``,
            ``category_id``, ``bbox`` and ``score``
        images (Dict[int, int]): Ids of pictures in the annotation file, and
            their positions
        sizes (np.ndarray): Widths and heights in shape (I, 2)

    Returns:
        tuple:
        - findings (List[Finding]): What is wrong with it
        - positions (np.ndarray): Of the pictures with boxes
    """
    nothing = np.zeros(0, int)
    layout = (
        'A bbox_file is a JSON list of objects with "image_id", "category_id", "bbox" and "score".'
    )
    if not bbox_file.endswith('.json'):
        # mmpose would unpickle it
        problem = 'is not a .json file, and no other is read'
        return [Finding(bbox_file, 'file', None, '', None, problem, layout)], nothing
    rows, findings = read_json(bbox_file)
    if findings:
        return findings, nothing
    if not isinstance(rows, list) or not all(type(row) is dict for row in rows):
        problem = 'is not a JSON list of objects'
        return [Finding(bbox_file, 'file', None, '', None, problem, layout)], nothing

    everything = Section(bbox_file, 'detections', rows)
    kinds = everything.column('category_id')
    whole = np.fromiter(map(is_id, kinds), bool, len(kinds))
    everything.add(~whole, 'category_id', 'is not an integer from 0 on', layout)
    # the others are not people: mmpose leaves them out
    people = Section(bbox_file, 'detections', [])
    people.rows = [dict(row, id=i) for i, row in enumerate(rows) if kinds[i] == PERSON]
    if not len(people):
        problem = f'have no person: category_id={PERSON}'
        remedy = 'mmpose reads no other, whatever number the annotation file has for people.'
        everything.add_whole('', None, problem, remedy)
    at = people.check_ids('image_id', images, 'images')
    size_of = np.concatenate((sizes, np.full((1, 2), np.nan)))[at]
    check_boxes(people, size_of, np.ones(len(people), bool))
    scores, valid = number_column(people.column('score'))
    wrong = ~valid | ~((scores >= 0) & (scores <= 1))
    people.add(wrong, 'score', 'is not a number from 0 to 1', layout)
    return everything.findings + people.findings, np.unique(at[at >= 0])
