"""What makes the pages of the repository a site, see mkdocs.yml."""

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

    So links between them lead to the same places as in the repository.
    """
    pages = {page for pattern in PAGES for page in ROOT.glob(pattern)}
    targets = {
        target
        for page in pages
        for _, link in LINK.findall(page.read_text(encoding='utf-8'))
        if (target := (page.parent / link).resolve()).is_file()
    }
    theme = [file for file in files if file.src_dir != config.docs_dir]
    own = (
        File(
            path.relative_to(ROOT).as_posix(), str(ROOT), config.site_dir, config.use_directory_urls
        )
        for path in sorted(pages | targets)
    )
    return Files([*own, *theme])


def on_page_markdown(markdown: str, page: Page, **kwargs: object) -> str:
    """A site has no page for a folder: link to its README.md, if it has one."""

    def to_page(match: re.Match) -> str:
        text, link = match.groups()
        folder = (ROOT / page.file.src_uri).parent / link
        if not folder.is_dir():
            return match[0]
        return f'[{text}]({link}/README.md)' if (folder / 'README.md').is_file() else text

    return LINK.sub(to_page, markdown)


class PlainDocstrings(griffe.Extension):
    """The roles of Sphinx as code, and ``Example:`` as the section that it is."""

    def on_object(self, *, obj: griffe.Object, **kwargs: object) -> None:
        """Change the docstring of an object."""
        if obj.docstring:
            text = re.sub(r':obj:`~?([^`]+)`', r'\1', obj.docstring.value)
            text = re.sub(r':(?:func|class|meth|mod|attr):(?=`)', '', text)
            obj.docstring.value = re.sub(r'^Example:$', 'Examples:', text, flags=re.M)
