"""Files in, files out."""

import csv
import json
import shutil
from contextlib import nullcontext

import cv2
import mmcv
import numpy as np
import pytest

from prtr_plugin.apis import draw, load_run, predict, predict_files, read_boxes, to_coco
from prtr_plugin.apis.frames import Frame, FrameWriter, Source, find_sources, read_frames


@pytest.fixture(scope='module')
def model(own_run):
    return load_run(own_run, device='cpu')


@pytest.fixture
def pictures(own_people, tmp_path):
    """Two pictures in a folder."""
    folder = tmp_path / 'in'
    folder.mkdir()
    for path in sorted((own_people / 'images').iterdir())[:2]:
        shutil.copy(path, folder)
    return sorted(folder.iterdir())


@pytest.fixture
def video(pictures, tmp_path):
    path = tmp_path / 'walk.mp4'
    image = cv2.imread(str(pictures[0]))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, image.shape[1::-1])
    for shift in range(5):
        writer.write(np.roll(image, shift, axis=1))
    writer.release()
    return path


def test_sources(pictures, video, tmp_path):
    folder = pictures[0].parent
    (folder / 'notes.txt').touch()
    sources = find_sources([folder, tmp_path / 'in' / '*.jpg', video, '0'])
    assert [source.kind for source in sources] == ['image'] * 4 + ['video', 'camera']
    assert [source.frames for source in sources] == [1] * 4 + [5, 0]
    assert len({source.name for source in sources}) == 6
    for wrong in (tmp_path / 'nothing', tmp_path / '*.png'):
        with pytest.raises(FileNotFoundError):
            find_sources([wrong])
    # a folder is no picture, whatever its name
    (tmp_path / 'above').mkdir()
    folder.rename(tmp_path / 'above/in.jpg')
    with pytest.raises(FileNotFoundError, match='no videos itself; those .*above/.*/.*.jpg"'):
        find_sources([tmp_path / 'above'])
    assert len(find_sources([tmp_path / 'above/**/*.jpg'])) == 2


def test_sources_of_one_name(tmp_path):
    paths = [tmp_path / name for name in ('2_a.jpg', 'x/a.jpg', 'y/a.jpg', 'z/a.jpg')]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert len({source.name for source in find_sources(paths)}) == 4


def test_videos_that_differ_in_their_ending(tmp_path):
    writer = FrameWriter(tmp_path)
    image = np.zeros((16, 16, 3), np.uint8)
    for name in ('clip.avi', 'clip.mov', 'clip.mp4'):
        writer.write(Frame(Source(name, name, 'video', 1), 0, 10, image), image)
    writer.close()
    assert {p.name for p in tmp_path.iterdir()} == {'clip.avi.mp4', 'clip.mov.mp4', 'clip.mp4'}


def test_frames_of_a_video(video):
    frames = list(read_frames(find_sources([video])[0]))
    assert [frame.number for frame in frames] == [0, 1, 2, 3, 4] and frames[0].fps == 10


def test_the_same_as_predict(model, pictures, tmp_path):
    done = predict_files(model, [pictures[0].parent], tmp_path / 'out')
    assert done == (2, 2, {})
    content = json.loads((tmp_path / 'out/predictions.json').read_text())
    expected = predict(model, pictures)
    assert [frame['people'] for frame in content['frames']] == [
        [person.to_dict() for person in people] for people in expected
    ]
    drawn = cv2.imread(str(tmp_path / 'out' / pictures[0].name))
    ours = draw(pictures[0], expected[0])
    # saved as JPEG
    assert np.abs(drawn.astype(int) - ours).mean() < 6


def test_boxes_of_files_with_one_name(model, pictures, tmp_path):
    folders = [tmp_path / name for name in ('cam1', 'cam2')]
    for folder, picture in zip(folders, pictures):
        folder.mkdir()
        shutil.copy(picture, folder / '1.jpg')
    boxes = tmp_path / 'boxes.json'
    boxes.write_text(json.dumps({'cam1/1.jpg': [[5, 5, 50, 80]], 'cam2/1.jpg': []}))
    with pytest.raises(ValueError, match='has "cam1/1.jpg" and "cam2/1.jpg", but boxes belong'):
        read_boxes(boxes)
    for name in (7, None):
        person = dict(image_id=1, category_id=1, bbox=[1, 2, 3, 4])
        boxes.write_text(
            json.dumps(dict(images=[dict(id=1, file_name=name)], annotations=[person]))
        )
        with pytest.raises(ValueError, match="COCO's annotations or detections, but .* TypeError"):
            read_boxes(boxes)
    boxes.write_text(json.dumps({'1.jpg': [[5, 5, 50, 80]]}))
    with pytest.raises(ValueError, match='boxes of "1.jpg" could be .*cam1.* or of .*cam2'):
        predict_files(model, folders, tmp_path / 'out', boxes)
    # a file may be given twice
    twice = [folders[0] / '1.jpg', folders[1] / '../cam1/1.jpg']
    done = predict_files(model, twice, tmp_path / 'out', boxes, draw=False)
    assert done.num_people == 2


def test_boxes(model, pictures, tmp_path):
    boxes = tmp_path / 'boxes.csv'
    boxes.write_text(
        f'file,x1,y1,x2,y2\n{pictures[0].name},5,5,50,80\n{pictures[0].name},9,9,60,90\n'
    )
    with pytest.warns(
        UserWarning, match='^1 of 2 files have no boxes, such as .*Nobody is'
    ) as seen:
        done = predict_files(model, pictures, tmp_path / 'out', boxes, draw=False)
    assert 'belong to no file' not in str(seen[0].message)
    assert (done.num_frames, done.num_people) == (2, 2)
    assert not list((tmp_path / 'out').glob('*.jpg'))
    content = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert [len(frame['people']) for frame in content['frames']] == [2, 0]
    assert content['frames'][0]['people'][0]['bbox'] == [5, 5, 50, 80]
    as_json = tmp_path / 'boxes.json'
    as_json.write_text(json.dumps({str(pictures[0]): [[5, 5, 50, 80], [9, 9, 60, 90, 0.5]]}))
    read = read_boxes(as_json)
    assert read[pictures[0].name].tolist() == [[5, 5, 50, 80, 1], [9, 9, 60, 90, 0.5]]
    np.testing.assert_array_equal(
        read_boxes(boxes)[pictures[0].name][:, :4], read[pictures[0].name][:, :4]
    )


def test_boxes_in_the_layout_of_coco(model, pictures, tmp_path):
    """Annotations name their files; detections have numbers, which are names as in COCO."""
    first, second = (
        picture.rename(picture.with_name(f'{i:012}.jpg')) for i, picture in enumerate(pictures, 41)
    )
    person = dict(image_id=3, category_id=7, bbox=[5, 6, 40, 50])
    content = dict(
        images=[dict(id=3, file_name=f'folder/{first.name}'), dict(id=4, file_name=second.name)],
        categories=[dict(id=1, name='dog'), dict(id=7, name='person')],
        annotations=[person, dict(person, category_id=1), dict(person, iscrowd=1)],
    )
    annotations, detections = tmp_path / 'annotations.json', tmp_path / 'detections.json'
    annotations.write_text(json.dumps(content))
    read = read_boxes(annotations)
    assert {name: boxes.tolist() for name, boxes in read.items()} == {
        first.name: [[5, 6, 45, 56, 1]],
        second.name: [],
    }
    found = dict(image_id=42, category_id=1, bbox=[5, 6, 40, 50], score=0.75)
    detections.write_text(json.dumps([found, dict(found, category_id=2)]))
    assert read_boxes(detections)['42'].tolist() == [[5, 6, 45, 56, 0.75]]
    for path, counts in ((annotations, [1, 0]), (detections, [0, 1])):
        out = tmp_path / path.stem
        # detections do not tell pictures without people from those left out
        warned = (
            pytest.warns(UserWarning, match='no boxes') if path == detections else nullcontext()
        )
        with warned:
            predict_files(model, [first, second], out, path, draw=False)
        frames = json.loads((out / 'predictions.json').read_text())['frames']
        assert [len(frame['people']) for frame in frames] == counts
    detections.write_text(json.dumps([dict(found, category_id=2)]))
    with pytest.raises(ValueError, match='no person in it'):
        read_boxes(detections)


def test_detector(model, pictures, tmp_path):
    def detector(images):
        return [np.array([[0, 0, 20 + i, 20, 0.9], [0, 0, 5, 5, 0.1]]) for i in range(len(images))]

    done = predict_files(model, pictures, tmp_path / 'out', detector=detector, draw=False)
    assert done.num_people == 2
    with pytest.raises(ValueError, match='either boxes or a detector'):
        predict_files(model, pictures, tmp_path / 'out', {}, detector)


def test_video(model, video, tmp_path):
    reports = []
    done = predict_files(
        model, [video], tmp_path / 'out', batch_size=2, report=lambda *args: reports.append(args)
    )
    assert done.num_frames == 5 and reports == [(2, 5), (4, 5), (5, 5)]
    assert len(mmcv.VideoReader(str(tmp_path / 'out/walk.mp4'))) == 5
    with open(tmp_path / 'out/predictions.csv') as file:
        assert {row['frame'] for row in csv.DictReader(file)} == set('01234')


def test_bad_files_are_left_out(model, pictures, tmp_path):
    pictures[1].write_bytes(pictures[1].read_bytes()[:20])
    (tmp_path / 'bad.mp4').write_text('no video')
    done = predict_files(model, [*pictures, tmp_path / 'bad.mp4'], tmp_path / 'out')
    assert done.num_frames == 1
    assert set(done.errors) == {str(pictures[1]), str(tmp_path / 'bad.mp4')}


def test_a_camera_runs_until_it_is_stopped(model, pictures, tmp_path, monkeypatch):
    def camera(source):
        pixels = cv2.imread(str(pictures[0]))
        for number in range(3):
            yield Frame(source, number, 10, pixels)
        raise KeyboardInterrupt

    monkeypatch.setattr('prtr_plugin.apis.prediction_files.read_frames', camera)
    reports = []
    done = predict_files(
        model, ['0'], tmp_path / 'out', batch_size=2, report=lambda *args: reports.append(args)
    )
    assert done.num_frames == 3 and reports == [(2, 0), (3, 0)]
    assert (tmp_path / 'out/camera0.mp4').is_file()
    with pytest.raises(KeyboardInterrupt):
        predict_files(model, pictures, tmp_path / 'other')
    assert not (tmp_path / 'other').exists()


def test_errors(model, pictures, tmp_path):
    for argument in (dict(score_thr=2), dict(batch_size=0)):
        with pytest.raises(ValueError, match='score_thr must be|batch_size must be'):
            predict_files(model, pictures, tmp_path / 'out', **argument)
    for wrong in (-0.1, 1.1):
        with pytest.raises(ValueError, match='kpt_thr must be a score from 0 to 1'):
            predict_files(model, pictures, tmp_path / 'out', kpt_thr=wrong)
        with pytest.raises(ValueError, match='kpt_thr must be a score from 0 to 1'):
            draw(pictures[0], [], wrong)
    with pytest.raises(ValueError, match='boxes are for other files'):
        predict_files(model, pictures, tmp_path / 'out', {'else.jpg': np.zeros((0, 5))})
    some = {pictures[0].name: np.zeros((0, 5)), 'else.jpg': np.zeros((0, 5))}
    with pytest.warns(UserWarning, match='boxes of 1 names belong to no file, such as "else.jpg"'):
        predict_files(model, pictures, tmp_path / 'warned', some, draw=False)
    with pytest.raises(ValueError, match='boxes are of no file'):
        predict_files(model, pictures, tmp_path / 'out', {})
    (tmp_path / 'c.csv').write_text('file;x1;y1;x2;y2\na;1;2;3;4')
    with pytest.raises(ValueError, match="columns 'file;x1;y1;x2;y2' and lacks file, x1, .*commas"):
        read_boxes(tmp_path / 'c.csv')
    for name, text in (('a.csv', 'file,x1\na,1'), ('a.json', '[1]'), ('b.json', 'x')):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match='must be a CSV file with the columns'):
            read_boxes(tmp_path / name)
    with pytest.raises(FileNotFoundError, match='file of boxes'):
        read_boxes(tmp_path / 'nothing.csv')
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/mine.txt').touch()
    with pytest.raises(FileExistsError, match='not empty'):
        predict_files(model, pictures, tmp_path / 'out')
    assert (tmp_path / 'out/mine.txt').exists()


def test_to_coco(model, pictures):
    results = predict(model, pictures)
    entries = to_coco(results, [7, 9])
    assert [entry['image_id'] for entry in entries] == [7, 9]
    person = results[0][0]
    x, y, w, h = entries[0]['bbox']
    assert [x, y, x + w, y + h] == person.bbox.tolist()
    assert entries[0]['keypoints'][3:5] == person.keypoints[1].tolist()
    assert entries[0]['score'] == pytest.approx(person.keypoint_scores.mean())
    json.dumps(entries)
    with pytest.raises(ValueError, match='2 results but 1 image_ids'):
        to_coco(results, [7])
