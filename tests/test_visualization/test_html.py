"""Pages that need no other file."""

from html.parser import HTMLParser

from prtr_plugin.visualization.html import listing, picture, table, write_page
from prtr_plugin.visualization.style import new_figure


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.sources, self.text = [], [], ''

    def handle_starttag(self, tag, attrs):
        if tag not in ('meta', 'img'):
            self.open.append(tag)
        self.sources += [value for key, value in attrs if key in ('src', 'href')]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_page(tmp_path):
    sections = {
        'Numbers': table({'a<b>': 0.123456, 'c': 3}),
        'Rows': table([('x', 'y'), (1, 2)]),
        'Nothing': '',
        'Picture': picture(new_figure(1, 1)),
        'Text': listing('more', 'a < b & c'),
    }
    write_page(tmp_path / 'page.html', 'A & B', sections)
    reader = Reader()
    reader.feed((tmp_path / 'page.html').read_text())
    assert not reader.open and 'Nothing' not in reader.text
    assert 'A & B' in reader.text and 'a<b>0.1235' in reader.text and 'a < b & c' in reader.text
    assert all(source.startswith('data:') for source in reader.sources) and reader.sources
