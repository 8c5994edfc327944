"""What makes the pages of the repository a site, see mkdocs.yml."""

import json
import re
from pathlib import Path

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = ('*.md', 'docs/*.md', 'configs/**/*.md', 'projects/**/*.md', 'tools/**/*.md')
LINK = re.compile(r'\[([^][]*)\]\(([^)\s#:]+)\)')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the pages from where they are, and what they link to.

    So links between them lead to the same places as in the repository. A notebook becomes a page.
    """
    pages = {page for pattern in PAGES for page in ROOT.glob(pattern)}
    targets = {
        target
        for page in pages
        for _, link in LINK.findall(page.read_text(encoding='utf-8'))
        if (target := (page.parent / link).resolve()).is_file()
    }
    theme = [file for file in files if file.src_dir != config.docs_dir]
    result = Files(theme)
    for path in sorted(pages | targets):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix == '.ipynb':
            name = name.replace('.ipynb', '.md')
            result.append(File.generated(config, name, content=_read_notebook(path)))
        else:
            place = (str(ROOT), config.site_dir, config.use_directory_urls)
            result.append(File(name, *place))
    return result


def _read_notebook(path: Path) -> str:
    """Text and code of a notebook."""
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    blocks = {'markdown': '{}', 'code': '```python\n{}\n```'}
    return '\n\n'.join(blocks[cell['cell_type']].format(''.join(cell['source'])) for cell in cells)


def on_page_markdown(markdown: str, page: Page, **kwargs: object) -> str:
    """Link to the page of a notebook, and to README.md of a folder, if it has one."""

    def to_page(match: re.Match) -> str:
        text, link = match.groups()
        target = (ROOT / page.file.src_uri).parent / link
        if target.is_dir():
            has_page = (target / 'README.md').is_file()
            return f'[{text}]({link}/README.md)' if has_page else text
        return match[0].replace('.ipynb)', '.md)')

    return LINK.sub(to_page, markdown)


class PlainDocstrings(griffe.Extension):
    """The roles of Sphinx as code, and ``Example:`` as the section that it is."""

    def on_object(self, *, obj: griffe.Object, **kwargs: object) -> None:
        """Change the docstring of an object."""
        if obj.docstring:
            text = re.sub(r':obj:`~?([^`]+)`', r'\1', obj.docstring.value)
            text = re.sub(r':(?:func|class|meth|mod|attr):(?=`)', '', text)
            obj.docstring.value = re.sub(r'^Example:$', 'Examples:', text, flags=re.M)
