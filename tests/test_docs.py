"""README.md and the pages: links, paths and examples."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from mmengine.config import Config

from helpers import tiny_datasets
from helpers.catalog import set_input_size
from prtr_plugin.datasets import generate_people

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ('docs', 'configs', 'projects', 'tools')
PAGES = [
    str(page.relative_to(ROOT))
    for page in (
        *ROOT.glob('*.md'),
        *(p for f in FOLDERS for p in sorted((ROOT / f).rglob('*.md'))),
    )
]
README = (ROOT / 'README.md').read_text()
EXAMPLES = [
    block
    for block in re.findall(r'```python\n(.*?)```', (ROOT / 'docs/mmpose.md').read_text(), re.S)
    if block.startswith('_base_')
]


def anchors(page: Path) -> set[str]:
    """Those that GitHub gives to the headings of a page."""
    text = re.sub(r'^```.*?^```', '', page.read_text(), flags=re.S | re.M)
    headings = re.findall(r'^#+ (.*)$', text, re.M)
    return {re.sub(r'[^\w\- ]', '', h.lower()).strip().replace(' ', '-') for h in headings}


def test_there_are_pages():
    assert {'README.md', 'docs/index.md', 'projects/README.md'} <= set(PAGES)
    assert len(PAGES) > 30
    assert len(README.split()) <= 1200


@pytest.mark.parametrize('page', PAGES)
def test_links(page):
    text = re.sub(r'^```.*?^```', '', (ROOT / page).read_text(), flags=re.S | re.M)
    for link in re.findall(r'\]\(([^)\s]+)\)', re.sub(r'`[^`]*`', '', text)):
        if '://' in link:
            continue
        path, _, anchor = link.partition('#')
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize('page', PAGES)
def test_paths_in_commands(page):
    """Files of the repository that a page speaks of."""
    code = '\n'.join(re.findall(r'```.*?```|`[^`\n]+`', (ROOT / page).read_text(), re.S))
    pattern = r'(?<![\w./$-])(?:tools|projects|tests|configs/\w+_2d_keypoint)/[\w./-]+(?!\w|[{*])'
    for path in re.findall(pattern, code):
        assert (ROOT / path.rstrip('.')).exists(), path


def test_every_page_is_in_the_index():
    index = (ROOT / 'docs/index.md').read_text()
    for page in (ROOT / 'docs').glob('*.md'):
        assert page.name == 'index.md' or f'({page.name})' in index, page.name


def test_short_form_of_the_head():
    """What README.md shows is part of the whole example."""
    (block,) = [b for b in re.findall(r'```python\n(.*?)```', README, re.S) if 'PRTRHead' in b]
    for line in block.splitlines():
        assert line in EXAMPLES[0].splitlines(), line


@pytest.mark.slow
def test_prediction_in_the_readme(tmp_path, monkeypatch, own_run, run_prtr, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(own_run, 'work_dirs/quickstart')
    generate_people('data/synthetic_people', num_train=1, num_val=6)
    (boxes, command) = re.findall(r'^(printf .*)\n(prtr predict .*)', README, re.M)[0]
    subprocess.run(boxes, shell=True, check=True)
    done = run_prtr(*shlex.split(command)[1:])
    assert done.exit_code == 0 and 'found    1 people' in done.output, done.output
    assert Path('predictions/000001000006.jpg').is_file()

    (block,) = [b for b in re.findall(r'```python\n(.*?)```', README, re.S) if 'predict' in b]
    exec(block, {'__name__': 'example'})
    assert "{'nose': array" in capsys.readouterr().out


@pytest.fixture(params=EXAMPLES, ids=['prtr', 'prtr_plus'])
def example(request, tmp_path):
    """A config of docs/mmpose.md as a file."""
    file = tmp_path / 'example.py'
    file.write_text(request.param.replace("'configs/", f"'{ROOT}/configs/"))
    return file


def test_example_keeps_nothing_of_the_heatmap(example):
    cfg = Config.fromfile(example)
    assert 'heatmap' not in str(cfg.model).lower()
    steps = {step['type']: step for step in cfg.train_dataloader.dataset.pipeline}
    assert steps['GenerateTarget']['encoder'] == cfg.model.head.decoder
    assert cfg.model.test_cfg.flip_test and cfg.optim_wrapper.optimizer.type == 'AdamW'
    # the rest is the base's
    assert {'RandomHalfBody', 'RandomBBoxTransform'} <= set(steps)
    assert cfg.train_cfg.max_epochs == 210


@pytest.mark.slow
def test_example_trains_and_is_evaluated(example, tmp_path, run_tool):
    tiny_datasets.write_coco(tmp_path / 'coco')
    cfg = Config.fromfile(example)
    set_input_size(cfg._cfg_dict, (96, 128))
    # small, and without a download
    cfg.model.backbone.update(depth=18, init_cfg=None)
    channels = cfg.model.head.in_channels
    cfg.model.head.in_channels = (
        channels // 4 if isinstance(channels, int) else [c // 4 for c in channels]
    )
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        loader.dataset.bbox_file = None
    small = tmp_path / 'small.py'
    cfg.dump(small)
    options = {'data_root': f'{tmp_path}/coco/', 'default_hooks.logger.interval': 1}
    done = run_tool('train.py', small, '--work-dir', tmp_path / 'run', options=options)
    assert not done.code, done.error
    assert list((tmp_path / 'run').glob('*epoch_1.pth'))
    (log,) = (tmp_path / 'run').rglob('scalars.json')
    assert 'loss_kpt' in log.read_text() and 'coco/AP' in log.read_text()
