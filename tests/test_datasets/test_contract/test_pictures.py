"""Pictures are where the file says, and as large."""

import json

import numpy as np
import pytest
from PIL import Image

from helpers.annotation_mutants import good_files, write_pictures
from prtr_plugin.datasets import FileUse, check_annotations, report


@pytest.fixture
def folder(tmp_path):
    write_pictures(tmp_path)
    return tmp_path


def check(folder, data=None, **kwargs):
    (folder / 'ann.json').write_text(json.dumps(data or good_files()[0]))
    use = FileUse(img_dir=str(folder), **kwargs)
    return check_annotations(str(folder / 'ann.json'), use)


def test_all_there(folder):
    assert check(folder) == []


@pytest.mark.parametrize('turned', [False, True])
def test_size(folder, turned):
    """The size is that of the picture as OpenCV loads it: turned by EXIF."""
    size = (160, 120) if not turned else (120, 160)
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(np.zeros((*size[::-1], 3), np.uint8))
    image.save(folder / '1.png', exif=exif)
    found = check(folder)
    if turned:
        assert found == []
        return
    (finding,) = found
    assert finding.id == 1 and finding.severity == 'error' and finding.value == 160
    assert '1.png is 120 wide and 160 high when it is loaded, not 160 and 120' in str(finding)
    assert 'EXIF data turn the picture: write it without them' in str(finding)


def test_many_sizes_are_one_sentence(folder):
    data = good_files()[0]
    for image in data['images']:
        image['width'] += image['id']
    found = check(folder, data)
    assert len(found) == len(data['images']) > 1
    (line,) = report(found)
    assert f'({len(found)} like this.)' in line and '1.png is' in line
    assert 'EXIF' not in line
    # what is no number is one finding, not two
    data['images'][0]['width'] = '160'
    assert sum(finding.id == 1 for finding in check(folder, data)) == 1


def test_missing(folder):
    """An error if it is used: somebody with joints is in it, or whole pictures are."""
    data = good_files()[0]
    data['annotations'] = [ann for ann in data['annotations'] if ann['image_id'] != 2]
    (folder / '2.png').unlink()
    (finding,) = check(folder, data)
    assert finding.severity == 'warning' and finding.field == 'file_name'
    (finding,) = check(folder, data, whole_images=True)
    assert finding.severity == 'error'
    (finding,) = check(folder)
    assert finding.severity == 'error' and str(folder) in str(finding)


@pytest.mark.parametrize('content', [b'', b'text', b'\x89PNG\r\n\x1a\n'])
def test_no_picture(folder, content):
    (folder / '1.png').write_bytes(content)
    (finding,) = check(folder)
    assert 'is not a picture' in str(finding) and finding.id == 1


def test_no_time(folder):
    """Sizes take a look into every file; then it says that not all were compared."""
    data = good_files()[0]
    data['images'][0]['width'] = 300
    (finding,) = check(folder, data, picture_seconds=-1)
    assert finding.severity == 'warning' and 'in 0 pictures' in str(finding)


def test_several_entries(folder):
    data = good_files()[0]
    data['images'][1]['file_name'] = '1.png'
    found = check(folder, data)
    assert {f.severity for f in found} == {'warning'} and len(found) == 2
    assert {f.severity for f in check(folder, data, whole_images=True)} == {'error'}
