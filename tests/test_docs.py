"""README.md and the pages: links, paths and examples."""

import importlib
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

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
    """And of the site, see mkdocs.yml."""
    index, site = ((ROOT / name).read_text() for name in ('docs/index.md', 'mkdocs.yml'))
    for page in (ROOT / 'docs').glob('*.md'):
        assert page.name == 'index.md' or f'({page.name})' in index, page.name
        assert f': docs/{page.name}\n' in site, page.name


def test_reference_has_the_public_modules():
    listed = re.findall(r'^::: (\S+)$', (ROOT / 'docs/api.md').read_text(), re.M)
    assert len(listed) == len(set(listed)) > 10
    for name in listed:
        module = importlib.import_module(name)
        assert [x for x in vars(module).values() if getattr(x, '__doc__', None)], name


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
