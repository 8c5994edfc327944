"""A detector of mmdet and PRTR, as a script and through mmpose."""

import json
import shutil
from pathlib import Path

import cv2
import mmdet
import numpy as np
import pytest
import torch
from mmdet.evaluation import get_classes
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.apis import MMPoseInferencer

from helpers.odd_pictures import check_odd_pictures
from prtr_plugin.apis import load_config, load_model, predict

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / 'projects' / 'detector_and_pose'
SCRIPT = 'detector_and_pose/detect_and_read.py'
BUS = 5
pytestmark = pytest.mark.usefixtures('no_network')
# onedl-mmdetection needs imgaug for it, and does not say so
pytest.importorskip('mmdet.datasets', exc_type=ImportError)


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    """mmdet's DETR, tiny and with random weights that take all for buses."""
    folder = tmp_path_factory.mktemp('detector')
    cfg = Config.fromfile(
        Path(mmdet.__file__).parent / '.mim/configs/detr' / 'detr_r50_8xb2-150e_coco.py'
    )
    attention = dict(embed_dims=16, num_heads=2)
    ffn = dict(embed_dims=16, feedforward_channels=32)
    cfg.merge_from_dict(
        {
            'model.num_queries': 5,
            'model.test_cfg.max_per_img': 5,
            'model.backbone': dict(depth=18, base_channels=8, stem_channels=8),
            'model.neck': dict(in_channels=[64], out_channels=16),
            'model.encoder': dict(
                num_layers=1, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=ffn)
            ),
            'model.decoder': dict(
                num_layers=1,
                layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=ffn),
            ),
            'model.positional_encoding.num_feats': 8,
            'model.bbox_head.embed_dims': 16,
            'test_pipeline.1.scale': (96, 96),
            'test_dataloader.dataset.pipeline.1.scale': (96, 96),
        },
        allow_list_keys=True,
    )
    cfg.dump(folder / 'detr.py')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    torch.nn.init.normal_(model.bbox_head.fc_reg.weight, std=0.1)
    torch.nn.init.normal_(model.query_embedding.weight, std=3)
    with torch.no_grad():
        model.bbox_head.fc_cls.bias[BUS] += 5
    classes = get_classes('coco')
    torch.save(
        dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=classes))),
        folder / 'detr.pth',
    )
    return str(folder / 'detr.py'), str(folder / 'detr.pth')


@pytest.fixture(scope='module')
def pose(small_config, checkpoint, quick_options, tmp_path_factory):
    path = tmp_path_factory.mktemp('pose') / 'config.py'
    load_config(small_config, quick_options).dump(path)
    return str(path), checkpoint


@pytest.fixture(scope='module')
def run(run_project, detector, pose):
    """Runs the script with the two models."""

    def run(source, out, *args, **kwargs):
        files = dict(zip(('det-config', 'det-weights', 'pose', 'pose-weights'), (*detector, *pose)))
        files.update(kwargs)
        return run_project(
            SCRIPT,
            source,
            out,
            '--device=cpu',
            f'--person-class={BUS}',
            *(f'--{k}={v}' for k, v in files.items()),
            *args,
        )

    return run


@pytest.fixture(scope='module')
def folder(synthetic_people):
    return synthetic_people / 'val2017'


@pytest.fixture(scope='module')
def video(folder, tmp_path_factory):
    """Five frames."""
    path = tmp_path_factory.mktemp('video') / 'people.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, (160, 120))
    for file in [*sorted(folder.glob('*.jpg')), min(folder.glob('*.jpg'))]:
        writer.write(cv2.imread(str(file)))
    writer.release()
    return path


def read(out):
    return json.loads((out / 'predictions.json').read_text())


def test_folder(run, folder, tmp_path, pose):
    out = tmp_path / 'new' / 'out'
    assert run(folder, out, '--kpt-thr=0').code == 0
    assert list(out.parent.iterdir()) == [out]
    result = read(out)
    files = sorted(folder.glob('*.jpg'))
    assert [frame['file'] for frame in result['frames']] == [file.name for file in files]
    assert len(result['keypoint_names']) == 17
    model = load_model(*pose, 'cpu')
    for file, frame in zip(files, result['frames']):
        assert 0 < len(frame['people']) <= 5
        for person in frame['people']:
            assert person['bbox_score'] > 0.3
            (alone,) = predict(model, [str(file)], [[person['bbox']]])
            joints = np.array([person['keypoints'][name] for name in result['keypoint_names']])
            assert np.allclose(joints[:, :2], alone[0].keypoints, atol=1e-2)
            assert np.allclose(joints[:, 2], alone[0].keypoint_scores, atol=1e-4)
        drawn = cv2.imread(str(out / file.name))
        image = cv2.imread(str(file))
        assert drawn.shape == image.shape
        assert (abs(drawn.astype(int) - image).max(axis=-1) > 60).any()


@pytest.mark.parametrize('batch_size', [1, 3])
def test_frames_of_a_step_change_nothing(run, folder, tmp_path, batch_size):
    assert run(folder, tmp_path / 'a').code == 0
    assert run(folder, tmp_path / 'b', f'--batch-size={batch_size}').code == 0
    first, second = [
        [p for frame in read(out)['frames'] for p in frame['people']]
        for out in (tmp_path / 'a', tmp_path / 'b')
    ]
    assert len(first) == len(second)
    for person, other in zip(first, second):
        assert np.allclose(person['bbox'], other['bbox'], atol=1e-2)
        joints, others = (np.array(list(p['keypoints'].values())) for p in (person, other))
        assert np.allclose(joints, others, atol=1e-2)


def test_video(run, video, tmp_path):
    out = tmp_path / 'out'
    assert run(video, out, '--batch-size=2').code == 0
    frames = read(out)['frames']
    assert [frame['frame'] for frame in frames] == list(range(5))
    assert all(frame['people'] for frame in frames)
    drawn = cv2.VideoCapture(str(out / video.name))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 5
    assert drawn.get(cv2.CAP_PROP_FPS) == 10
    assert not list(out.glob('*.jpg'))


def test_nobody(run, folder, tmp_path):
    """Another class, or a threshold that no box exceeds."""
    picture = min(folder.glob('*.jpg'))
    for i, args in enumerate((['--person-class=0'], ['--score-thr=1'])):
        out = tmp_path / str(i)
        assert run(picture, out, *args).code == 0
        assert read(out)['frames'] == [dict(file=picture.name, frame=0, people=[])]
        assert [file.name for file in out.glob('*.jpg')] == [picture.name]


def test_overlapping_boxes(run, folder, tmp_path):
    """This detector sees everybody in the middle of the image."""
    counts = []
    for thr in (0.3, 1):
        out = tmp_path / str(thr)
        done = run(min(folder.glob('*.jpg')), out, f'--nms-thr={thr}')
        assert done.code == 0
        counts.append(len(read(out)['frames'][0]['people']))
    assert counts[0] < counts[1] == 5


def test_a_bad_file_is_left_out(run, folder, tmp_path, capsys):
    pictures = tmp_path / 'pictures'
    pictures.mkdir()
    shutil.copy(min(folder.glob('*.jpg')), pictures)
    (pictures / 'z.jpg').write_text('no image')
    out = tmp_path / 'out'
    assert run(pictures, out, '--batch-size=1').code == 0
    assert 'z.jpg" cannot be read as an image' in capsys.readouterr().out
    assert len(read(out)['frames']) == 1
    # nothing is replaced by accident, and nothing is left behind
    assert 'is not empty' in run(pictures, out).code
    assert run(pictures, out, '--force').code == 0
    assert 'No file could be read' in run(pictures / 'z.jpg', tmp_path / 'none').code
    assert sorted(tmp_path.iterdir()) == [out, pictures]


def test_bad_arguments(run, folder, pose, tmp_path, cascade_config, train_an_epoch, quick_options):
    out = tmp_path / 'out'
    empty = tmp_path / 'empty'
    empty.mkdir()
    cascade = tmp_path / 'cascade.py'
    load_config(cascade_config, quick_options).dump(cascade)
    for text, source, args, kwargs in (
        ('"nothing" does not exist', 'nothing', [], {}),
        ('has no pictures and no videos', empty, [], {}),
        ('cannot be read as an image', cascade, [], {}),
        ('"no.py" does not exist', folder, [], {'det-config': 'no.py'}),
        ('no.pth does not exist', folder, [], {'det-weights': 'no.pth'}),
        ('does not fit the model', folder, [], {'det-weights': pose[1]}),
        ("no device 'gpu' here", folder, ['--device=gpu'], {}),
        ('no.pth does not exist', folder, [], {'pose-weights': 'no.pth'}),
        ('There is no model "prtr"', folder, [], {'pose': 'prtr'}),
        ("person_class 80 is not among .* {0: 'person', 1: 'bicycle'", folder,
         ['--person-class=80'], {}),
        ('finds the people itself', folder, [], {
            'pose': cascade, 'pose-weights': train_an_epoch(cascade_config)
        }),
    ):  # yapf: disable
        done = run(source, out, *args, **kwargs)
        with pytest.raises(SystemExit, match=text):
            raise SystemExit(done.code)
        assert not out.exists()
    assert sorted(tmp_path.iterdir()) == [cascade, empty]
    out.mkdir()
    (out / 'mine.txt').write_text('')
    assert 'is not empty' in run(folder, out).code
    assert [file.name for file in out.iterdir()] == ['mine.txt']


@pytest.mark.slow
def test_odd_pictures(run, odd_pictures, tmp_path):
    check_odd_pictures(lambda path: run(path, tmp_path / 'out' / path.name).code, odd_pictures)


def test_through_mmpose(run, detector, pose, folder, tmp_path):
    """The lines of the README."""
    picture = min(folder.glob('*.jpg'))
    inferencer = MMPoseInferencer(
        *pose, det_model=detector[0], det_weights=detector[1], det_cat_ids=BUS, device='cpu'
    )
    result = next(inferencer(str(picture), bbox_thr=0.3))
    assert run(picture, tmp_path / 'out').code == 0
    (people,) = [frame['people'] for frame in read(tmp_path / 'out')['frames']]
    found = result['predictions'][0]
    assert len(found) == len(people)
    for person, other in zip(people, found):
        assert np.allclose(person['bbox'], other['bbox'][0], atol=1e-2)
        joints = np.array(list(person['keypoints'].values()))[:, :2]
        assert np.allclose(joints, other['keypoints'], atol=1e-2)


def test_evaluation(run_project, synthetic_people, tmp_path, capsys):
    """Of predictions that are the annotations, or all in a corner."""
    annotations = synthetic_people / 'annotations/person_keypoints_val2017.json'
    data = json.loads(annotations.read_text())
    names = {image['id']: image['file_name'] for image in data['images']}
    frames = {name: [] for name in names.values()}
    for person in data['annotations']:
        joints = np.reshape(person['keypoints'], (17, 3))[:, :2]
        frames[names[person['image_id']]].append(
            dict(bbox_score=0.9, keypoints={k: [*xy, 0.8] for k, xy in enumerate(joints.tolist())})
        )

    def evaluate(frames):
        path = tmp_path / 'predictions.json'
        path.write_text(
            json.dumps(
                dict(frames=[dict(file=name, people=people) for name, people in frames.items()])
            )
        )
        done = run_project('detector_and_pose/evaluate.py', path, annotations)
        return done.code, capsys.readouterr()

    code, printed = evaluate(frames)
    assert code == 0 and 'all | maxDets= 20 ] =  1.000' in printed.out
    for people in frames.values():
        for person in people:
            person['keypoints'] = {k: [0, 0, 0.8] for k in range(17)}
    assert 'all | maxDets= 20 ] =  0.000' in evaluate(frames)[1].out
    code, printed = evaluate({'other.jpg': []})
    assert code == 2 and "has no image 'other.jpg'" in printed.err
    code, printed = evaluate({name: [] for name in frames})
    assert code == 2 and 'has no people' in printed.err
    person = dict(bbox_score=0.9, keypoints={k: [0, 0, 0.8] for k in range(14)})
    code, printed = evaluate({name: [person] for name in frames})
    assert code == 2 and 'people with 14 joints, but this script has' in printed.err


def test_detector_of_the_cascade(
    run, run_project, cascade_config, train_an_epoch, quick_options, folder, tmp_path
):
    """It finds what it finds in the cascade."""
    weights = tmp_path / 'detector.pth'
    checkpoint = train_an_epoch(cascade_config)
    cut = 'detector_and_pose/cascade_to_detector.py'
    assert run_project(cut, checkpoint, weights).code == 0
    (config,) = (PROJECT / 'configs').glob('*.py')
    # the options do not change the detector
    cascade = load_model(cascade_config, checkpoint, 'cpu', cfg_options=quick_options)
    assert (
        run(
            folder,
            tmp_path / 'out',
            '--person-class=0',
            '--score-thr=0',
            '--nms-thr=1',
            **{'det-config': config, 'det-weights': weights},
        ).code
        == 0
    )
    expected = predict(cascade, [str(p) for p in sorted(folder.glob('*.jpg'))], score_thr=0)
    for frame, people in zip(read(tmp_path / 'out')['frames'], expected):
        # nearly equal scores may change places
        boxes = np.array([person['bbox'] for person in frame['people']])
        others = np.array([person.bbox for person in people])
        distances = abs(boxes[:, None] - others).max(axis=-1)
        assert len(boxes) == len(others)
        assert distances.min(axis=1).max() < 0.1
    # another checkpoint
    done = run_project(cut, weights, tmp_path / 'other.pth')
    assert done.code and not (tmp_path / 'other.pth').exists()
