"""Checking files from Python; the rules are tested in ``test_datasets/test_contract``."""

import json

import pytest

from prtr_plugin import apis
from prtr_plugin.datasets import AnnotationError

COCO = 'configs/_base_/datasets/coco.py'


@pytest.fixture
def damaged(synthetic_people, tmp_path):
    """The synthetic people, with one whose box is upside down."""
    for name in ('train2017', 'val2017'):
        (tmp_path / name).symlink_to(synthetic_people / name)
    (tmp_path / 'annotations').mkdir()
    for split in ('train', 'val'):
        name = f'annotations/person_keypoints_{split}2017.json'
        data = json.loads((synthetic_people / name).read_text())
        if split == 'val':
            data['annotations'][0]['bbox'][3] = -5
        (tmp_path / name).write_text(json.dumps(data))
    return tmp_path, data['annotations'][0]['id']


def test_good_config(each_config, synthetic_people):
    assert (
        apis.check_annotations(each_config, cfg_options={'data_root': f'{synthetic_people}/'}) == []
    )


def test_damaged_config(each_config, damaged):
    folder, number = damaged
    (finding,) = apis.check_annotations(each_config, cfg_options={'data_root': f'{folder}/'})
    assert (finding.section, finding.id, finding.field) == ('annotations', number, 'bbox')
    assert finding.severity == 'error'


def test_one_file(damaged):
    folder, number = damaged
    ann_file = str(folder / 'annotations/person_keypoints_val2017.json')
    (finding,) = apis.check_annotations(ann_file, COCO, str(folder / 'val2017'))
    assert finding.id == number
    assert len(apis.check_annotations(ann_file, img_dir=str(folder))) > 1


def test_nothing_is_built(each_config, damaged, quick_options, tmp_path):
    """Neither training nor testing begins, nor makes a folder."""
    folder, number = damaged
    work_dir = tmp_path / 'work'
    options = {**quick_options, 'data_root': f'{folder}/'}
    with pytest.raises(AnnotationError, match=rf'val_dataloader: ann_file .*{number}: bbox='):
        apis.train(each_config, work_dir=str(work_dir), cfg_options=options)
    assert not work_dir.exists()
    # without validation that file is not read
    apis.build_train_runner(each_config, str(work_dir), no_validate=True, cfg_options=options)
