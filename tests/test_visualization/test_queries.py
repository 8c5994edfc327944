import numpy as np
import pytest
import torch
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from scipy.optimize import linear_sum_assignment

from prtr_plugin.visualization import (
    QueryStatistics,
    count_queries,
    draw_answers,
    draw_density,
    figure_to_image,
)

Q, K, BINS = 6, 3, 4


@pytest.fixture
def meta(model):
    """Meta information of a dataset of three joints."""
    return {**model.dataset_meta, 'num_keypoints': K}


@pytest.fixture
def people():
    """What the queries of 50 people put out; one is outside of all bins."""
    rng = np.random.RandomState(0)
    probs = rng.dirichlet(np.ones(K + 1), (50, Q))
    coords = rng.uniform(0, 1, (50, Q, 2))
    coords[0, 0] = 1.0
    # only the first four queries ever answer
    queries = np.stack([rng.permutation(4)[:K] for _ in range(50)])
    return probs, coords, queries


@pytest.fixture
def statistics(people):
    statistics = QueryStatistics(Q, K, BINS)
    for start in (0, 20):
        part = slice(start, 20 if start == 0 else None)
        statistics.update(*(x[part] for x in people))
    return statistics


def test_counts(people, statistics):
    """Against loops over people and queries."""
    probs, coords, queries = people
    density = np.zeros((Q, BINS, BINS))
    answers = np.zeros((Q, K))
    class_entropy = np.zeros(Q)
    for n in range(50):
        for q in range(Q):
            x, y = coords[n, q]
            density[q, min(int(y * BINS), 3), min(int(x * BINS), 3)] += 1
            p = probs[n, q]
            class_entropy[q] -= sum(p * np.log2(p)) / 50
        for k in range(K):
            answers[queries[n, k], k] += 1
    assert statistics.num_people == 50
    assert (statistics.density == density).all()
    assert (statistics.answers == answers).all()
    assert np.allclose(statistics.class_entropy, class_entropy)
    assert (statistics.density.sum(axis=(1, 2)) == 50).all()
    assert (statistics.answers.sum(axis=0) == 50).all()


def test_joint_entropy_and_order():
    statistics = QueryStatistics(4, 2)
    statistics.num_people = 10
    statistics.answers[:] = [[5, 5], [0, 0], [0, 5], [5, 0]]
    entropies = statistics.joint_entropy
    assert np.allclose(entropies[[0, 2, 3]], [1, 0, 0])
    assert np.isnan(entropies[1])
    # of two that are used alike the one of the first joint comes first
    assert statistics.order.tolist() == [0, 3, 2, 1]


def test_numbers(statistics, meta):
    numbers = statistics.to_dict(meta)
    assert (numbers['num_people'], numbers['num_used']) == (50, 4)
    assert numbers['num_queries'] == len(numbers['queries']) == Q
    uses = [q['uses'] for q in numbers['queries']]
    assert uses == sorted(uses, reverse=True) and sum(uses) == 50 * K
    first, last = numbers['queries'][0], numbers['queries'][-1]
    counts = statistics.answers[first['query']]
    names = ('nose', 'left eye', 'right eye')
    assert first['answers'] == dict(zip(names, counts.tolist()))
    assert list(first['answers'].values()) == sorted(counts, reverse=True)
    assert last['answers'] == {} and last['joint_entropy'] is None


def test_queries_of_a_model(model, batch):
    """The query of each joint is that of the assignment."""
    statistics = count_queries(model, [batch, batch])
    inputs = model.data_preprocessor(batch)['inputs']
    with torch.no_grad():
        cls_logits, coords = model.head(model.extract_feat(inputs))
    answers = np.zeros((20, 17))
    for logits in cls_logits:
        probs = logits[:, :-1].softmax(dim=-1).numpy()
        for q, k in zip(*linear_sum_assignment(probs, maximize=True)):
            answers[q, k] += 2
    assert (statistics.answers == answers).all()
    assert statistics.num_people == 6
    x, y = (coords[0, 7] * 32).int().tolist()
    assert statistics.density[7, y, x] >= 2


def test_density_picture(statistics, meta):
    figure = draw_density(statistics, meta, 0.75, num_shown=5)
    figure_to_image(figure)
    titles = [axis.get_title() for axis in figure.axes]
    first = statistics.order[0]
    uses = statistics.uses[first]
    share = statistics.answers[first].max() / uses
    assert len(titles) == 5
    assert titles[0].startswith(f'query {first}: used {uses / 50:.0%}')
    assert titles[0].endswith(f'{share:.0%}')
    assert titles[4].endswith('never answers')


def test_answers_picture(statistics, meta):
    figure = draw_answers(statistics, meta)
    figure_to_image(figure)
    matrix = figure.axes[0]
    assert matrix.get_title() == '4 of 6 queries ever answer'
    shown = matrix.images[0].get_array()
    assert shown.shape == (4, K)
    assert np.allclose(shown.sum(axis=0), 1)
    assert len(figure.axes[1].patches) == len(figure.axes[2].patches) == 4


@pytest.mark.parametrize('name, num', [('coco_wholebody', 133), ('coco_wholebody_hand', 21)])
def test_other_joints(name, num):
    meta = parse_pose_metainfo(dict(from_file=f'configs/_base_/datasets/{name}.py'))
    statistics = QueryStatistics(150, num)
    statistics.num_people = 1
    statistics.answers[:num] = np.eye(num)
    figure_to_image(draw_density(statistics, meta, 1.0))
    matrix = draw_answers(statistics, meta).axes[0]
    assert len(matrix.get_xticklabels()) == num
    assert statistics.to_dict(meta)['num_used'] == num
