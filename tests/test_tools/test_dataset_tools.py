"""The doors of what writes data. Their options are those of the functions."""

import json

from prtr_plugin.datasets import generate_people, write_coco_subset


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def test_synthetic_people(run_tool, tmp_path, capsys):
    tool, out = 'dataset_tools/synthetic_people.py', tmp_path / 'people'
    arguments = ['--num-train=2', '--num-val=1', '--max-people=2', '--image-size', 96, 64]
    assert run_tool(tool, out, *arguments, '--seed=3').code == 0
    assert f'Wrote {out}' in capsys.readouterr().out
    size = dict(num_train=2, num_val=1, image_size=(96, 64))
    generate_people(tmp_path / 'other', **size, max_people=2, seed=3)
    assert contents(out) == contents(tmp_path / 'other')
    assert run_tool(tool, out, *arguments, '--seed=3').code == 0
    assert 'already holds' in capsys.readouterr().out
    assert 'other settings' in run_tool(tool, out, *arguments).code
    assert run_tool(tool, out, *arguments, '--force').code == 0
    file = out / 'annotations' / 'person_keypoints_train2017.json'
    assert json.loads(file.read_text())['info']['seed'] == 0
    assert run_tool(tool, out, '--num-train=0').code.startswith('Error: num_train must')


def test_coco_subset(run_tool, synthetic_people, tmp_path, capsys):
    tool, out = 'dataset_tools/coco_subset.py', tmp_path / 'out.json'
    source = synthetic_people / 'annotations' / 'person_keypoints_train2017.json'
    options = ('--num-people=3', '--min-keypoints=16', '--seed=1')
    assert run_tool(tool, source, out, *options).code == 0
    assert 'out.json: 3 people in ' in capsys.readouterr().out
    write_coco_subset(source, tmp_path / 'other.json', num_people=3, min_keypoints=16, seed=1)
    assert out.read_bytes() == (tmp_path / 'other.json').read_bytes()
    assert run_tool(tool, source, out, '--num-images=2', '--force').code == 0
    assert len(json.loads(out.read_text())['images']) == 2
    assert run_tool(tool, tmp_path / 'gone.json', out, '--force').code.startswith('Error: ')
    assert ' people' in run_tool(tool, source, out, '--num-people=100', '--force').code


def test_check_annotations(run_tool, small_config, synthetic_people, tmp_path, capsys):
    tool = 'dataset_tools/check_annotations.py'
    options = {'data_root': f'{synthetic_people}/'}
    assert run_tool(tool, small_config, options=options).code == 0
    assert '0 errors, 0 warnings' in capsys.readouterr().out

    ann_file = synthetic_people / 'annotations/person_keypoints_val2017.json'
    data = json.loads(ann_file.read_text())
    for person in data['annotations']:
        person['bbox'][2] = -1
    data['annotations'][0]['num_keypoints'] -= 1
    bad = tmp_path / 'bad.json'
    bad.write_text(json.dumps(data))
    done = run_tool(tool, bad, '--metainfo', 'configs/_base_/datasets/coco.py')
    assert done.code == f'Error: {bad} is not fit for a run.'
    out = capsys.readouterr().out
    assert (
        out.count('has a negative size') == 1 and f'({len(data["annotations"])} like this.)' in out
    )
    assert 'warning: ' in out

    assert run_tool(tool, 'gone.py').code.startswith('Error: ')
    assert run_tool(tool, tmp_path / 'gone.json').code.startswith('Error: ')
