"""Several processes: ``tools/dist.sh`` on the CPU, ``tools/slurm.sh``."""

import json
import math
import os
import shutil
import socket
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / 'tools'

RECORDER = """
import json

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmpose.registry import HOOKS


@HOOKS.register_module()
class RecordLosses(Hook):
    def before_train(self, runner):
        self.steps = []

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self.steps.append(dict(
            loss=outputs['loss'].item(),
            images=sorted(sample.img_id
                          for sample in data_batch['data_samples']),
            weights=sum(p.double().sum().item()
                        for p in runner.model.parameters())))

    def after_train(self, runner):
        name = f'{runner.work_dir}/{get_rank()}_of_{get_world_size()}.json'
        with open(name, 'w') as file:
            json.dump(self.steps, file)
"""

CONFIG = """
_base_ = {base!r}
custom_imports = dict(imports=['prtr_plugin', 'record_losses'])
custom_hooks = [dict(type='RecordLosses')]
# each process draws its own random numbers: no augmentation, so that the
# same people make the same crops
train_pipeline = [
    step for step in _base_.train_pipeline
    if not step['type'].startswith('Random')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
# BatchNorm normalises with the mean of a process's own people, which is not
# that of the whole batch: use the running mean
model = dict(backbone=dict(norm_eval=True))
"""


CASCADE = """
_base_ = {base!r}
custom_imports = dict(imports=['prtr_plugin', 'record_losses'])
custom_hooks = [*_base_.custom_hooks, dict(type='RecordLosses')]
train_dataloader = dict(batch_size=1, sampler=dict(shuffle=False))
"""


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


@pytest.fixture(scope='module')
def config(tmp_path_factory, small_config, cascade_config):
    """A config that writes the losses of every process, and beside it one of
    the cascade, ``cascade.py``."""
    folder = tmp_path_factory.mktemp('config')
    (folder / 'record_losses.py').write_text(RECORDER)
    (folder / 'config.py').write_text(CONFIG.format(base=small_config))
    (folder / 'cascade.py').write_text(CASCADE.format(base=cascade_config))
    return folder / 'config.py'


@pytest.fixture(scope='module')
def start(config, as_arguments):
    """Starts a script of tools/ on the CPU."""

    def start(*args, options={}, **variables):
        args = [*map(str, args), *as_arguments(options)]
        env = dict(
            os.environ,
            PYTHONPATH=f'{ROOT}{os.pathsep}{config.parent}',
            PYTHON=sys.executable,
            CUDA_VISIBLE_DEVICES='',
            OMP_NUM_THREADS='1',
            **variables,
        )
        return subprocess.Popen(
            args, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    return start


def finish(*jobs):
    outputs = [job.communicate(timeout=300)[0] for job in jobs]
    for job, output in zip(jobs, outputs):
        assert job.returncode == 0, output
    return outputs


@pytest.fixture(scope='module')
def trained(start, config, quick_options, tmp_path_factory):
    """The folder with the work folders ``1`` and ``2`` of one epoch by as many processes."""
    work_dir = tmp_path_factory.mktemp('trained')
    jobs = [
        start(
            TOOLS / 'dist.sh',
            'train',
            config,
            processes,
            '--no-validate',
            '--work-dir',
            work_dir / str(processes),
            PORT=str(free_port()),
            options={
                **quick_options,
                'train_cfg.max_epochs': 1,
                'train_dataloader.batch_size': 4 // processes,
            },
        )
        for processes in (1, 2)
    ]
    finish(*jobs)
    return work_dir


def recorded(work_dir, *names):
    return [json.loads((work_dir / f'{name}.json').read_text()) for name in names]


@pytest.mark.slow
def test_two_processes_equal_one(trained):
    one, first, second = recorded(trained, '1/0_of_1', '2/0_of_2', '2/1_of_2')
    assert len(one) == len(first) == len(second) == 3
    for step, (whole, a, b) in enumerate(zip(one, first, second)):
        assert sorted(a['images'] + b['images']) == whole['images']
        # later steps also compare the gradients, through the new weights;
        # the matching may amplify a rounding error
        assert (a['loss'] + b['loss']) / 2 == pytest.approx(
            whole['loss'], rel=1e-3 if step else 1e-6
        )
        assert a['loss'] != b['loss']
        assert a['weights'] == b['weights']


@pytest.mark.slow
def test_cascade_with_images_of_nobody(start, config, quick_options, synthetic_people, tmp_path):
    """All parameters take part on all processes, whoever sees people."""
    data = shutil.copytree(synthetic_people, tmp_path / 'data')
    path = data / 'annotations' / 'person_keypoints_train2017.json'
    content = json.loads(path.read_text())
    # the dataset puts the images of nobody behind the others, and images go
    # to the processes in turn: somebody to both, to one, to none
    kept = {image['id'] for image in content['images'][:3]}
    content['annotations'] = [ann for ann in content['annotations'] if ann['image_id'] in kept]
    path.write_text(json.dumps(content))

    work_dirs = {frozen: tmp_path / f'frozen_{frozen}' for frozen in (False, True)}
    finish(
        *[
            start(
                TOOLS / 'dist.sh',
                'train',
                config.with_name('cascade.py'),
                2,
                '--no-validate',
                '--work-dir',
                work_dir,
                PORT=str(free_port()),
                options={
                    **quick_options,
                    'data_root': f'{data}/',
                    'train_cfg.max_epochs': 1,
                    'train_dataloader.batch_size': 1,
                    'model.freeze_detector': frozen,
                    'model.detach_boxes': False,
                },
            )
            for frozen, work_dir in work_dirs.items()
        ]
    )
    for frozen, work_dir in work_dirs.items():
        first, second = recorded(work_dir, '0_of_2', '1_of_2')
        people = [[set(step['images']) <= kept for step in steps] for steps in (first, second)]
        assert people == [[True, True, False, False], [True, False, False, False]]
        for a, b in zip(first, second):
            assert math.isfinite(a['loss']) and a['weights'] == b['weights']
        losses = [step['loss'] for step in first + second]
        # without people a detector still learns what is no person
        assert [loss > 0 for loss in losses] == [
            somebody or not frozen for somebody in chain(*people)
        ]
        assert first[0]['weights'] != first[1]['weights']


@pytest.mark.slow
def test_dist_test(trained, start, config, quick_options, tmp_path):
    checkpoint = trained / '2/epoch_1.pth'
    out = tmp_path / 'two.json'
    finish(
        start(
            TOOLS / 'dist.sh',
            'test',
            config,
            checkpoint,
            2,
            '--work-dir',
            tmp_path,
            '--out',
            out,
            '--dump',
            tmp_path / 'two.pkl',
            PORT=str(free_port()),
            options=quick_options,
        )
    )
    metrics = json.loads(out.read_text())
    assert 0 <= metrics['coco/AP'] <= 1
    assert (tmp_path / 'two.pkl').stat().st_size > 0


@pytest.mark.parametrize(
    'name, args',
    [
        ('dist', []),
        ('dist', ['train', 'CONFIG']),
        ('dist', ['test', 'CONFIG', 'CHECKPOINT']),
        ('dist', ['else', 'CONFIG', 'CHECKPOINT', 1]),
        ('slurm', []),
        ('slurm', ['train', 'PARTITION', 'NAME', 'CONFIG']),
        ('slurm', ['test', 'PARTITION', 'NAME', 'CONFIG']),
        ('slurm', ['else', 'PARTITION', 'NAME', 'CONFIG', 'WORK_DIR']),
    ],
)
def test_usage(start, name, args):
    job = start(TOOLS / f'{name}.sh', *args)
    lines = job.communicate()[0].splitlines()
    assert [line.split(' [')[0] for line in lines] == dict(
        dist=[
            'usage: tools/dist.sh train CONFIG GPUS',
            'usage: tools/dist.sh test CONFIG CHECKPOINT GPUS',
        ],
        slurm=[
            'usage: tools/slurm.sh train PARTITION JOB_NAME CONFIG WORK_DIR',
            'usage: tools/slurm.sh test PARTITION JOB_NAME CONFIG CHECKPOINT',
        ],
    )[name]
    assert job.returncode == 2


@pytest.fixture
def srun(tmp_path):
    """A folder with an ``srun`` that writes down what it is asked for.

    It runs the command as a single process without Slurm: mmengine's launcher
    for Slurm needs a GPU.
    """
    path = tmp_path / 'bin' / 'srun'
    path.parent.mkdir()
    path.write_text(
        '#!/usr/bin/env bash\n'
        'printf "%s\\n" "$@" > "$SRUN_LOG"\n'
        'while [[ $1 == --* ]]; do shift; done\n'
        'exec "$@" --launcher none\n'
    )
    path.chmod(0o755)
    return path.parent


def check_slurm(log, *expected):
    """Check the options of ``srun`` and return the command to run."""
    arguments = log.read_text().splitlines()
    command = arguments.index(sys.executable)
    assert set(expected) <= set(arguments[:command])
    assert all(arg.startswith('--') for arg in arguments[:command])
    assert arguments[arguments.index('--launcher') + 1] == 'slurm'
    return arguments[command + 1 :]


@pytest.mark.slow
def test_slurm(start, srun, small_config, quick_options, checkpoint, tmp_path):
    path = f'{srun}{os.pathsep}{os.environ["PATH"]}'
    work_dir, out = tmp_path / 'work dir', tmp_path / 'metrics.json'
    options = {**quick_options, 'train_cfg.max_epochs': 1}
    finish(
        start(
            TOOLS / 'slurm.sh',
            'train',
            'gpu',
            'a_name',
            small_config,
            work_dir,
            '--no-validate',
            options=options,
            PATH=path,
            GPUS='16',
            SRUN_ARGS='--time=9 --quiet',
            SRUN_LOG=str(tmp_path / 'train'),
        ),
        start(
            TOOLS / 'slurm.sh',
            'test',
            'gpu',
            'a_name',
            small_config,
            checkpoint,
            '--work-dir',
            tmp_path,
            '--out',
            out,
            options=options,
            PATH=path,
            GPUS='2',
            SRUN_LOG=str(tmp_path / 'test'),
        ),
    )
    command = check_slurm(
        tmp_path / 'train',
        '--partition=gpu',
        '--job-name=a_name',
        '--gres=gpu:8',
        '--ntasks=16',
        '--ntasks-per-node=8',
        '--cpus-per-task=5',
        '--time=9',
        '--quiet',
    )
    assert command[:3] == ['-u', str(TOOLS / 'train.py'), small_config]
    assert (work_dir / 'epoch_1.pth').is_file()
    command = check_slurm(tmp_path / 'test', '--gres=gpu:2', '--ntasks=2', '--cpus-per-task=5')
    assert command[:4] == ['-u', str(TOOLS / 'test.py'), small_config, checkpoint]
    assert 'coco/AP' in json.loads(out.read_text())
