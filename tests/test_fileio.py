"""Files and folders that exist whole or not at all."""

import stat

import pytest

from prtr_plugin.fileio import write_file, write_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file(tmp_path):
    path = tmp_path / 'new' / 'folder' / 'a.json'
    with write_file(str(path)) as file:
        # formats look at the ending, and a rename needs the same file system
        assert file.name == 'a.json' and file.parent.parent == path.parent
        file.write_text('1')
        assert not path.exists()
    assert path.read_text() == '1'
    with write_file(path) as file:
        file.write_text('2')
    assert path.read_text() == '2'
    assert names(path.parent) == ['a.json']


def test_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with pytest.raises(OSError, match='disk full'), write_file(path) as file:
        file.write_text('half')
        raise OSError('disk full')
    assert path.read_text() == 'old'
    with pytest.raises(KeyboardInterrupt), write_file(tmp_path / 'b.txt') as file:
        file.write_text('half')
        raise KeyboardInterrupt
    assert names(tmp_path) == ['a.txt']


def test_file_in_place_of_a_folder(tmp_path):
    with pytest.raises(IsADirectoryError, match='is a folder'), write_file(tmp_path):
        pytest.fail('the block must not run')


def test_permissions(tmp_path):
    """As if written plainly, not those of temporary files."""
    (tmp_path / 'plain.txt').touch()
    (tmp_path / 'plain').mkdir()
    with write_file(tmp_path / 'new.txt') as file:
        file.touch()
    with write_folder(tmp_path / 'new'):
        pass
    for ending in ('', '.txt'):
        modes = [stat.S_IMODE((tmp_path / f'{x}{ending}').stat().st_mode) for x in ('new', 'plain')]
        assert modes[0] == modes[1]


def test_folder(tmp_path):
    path = tmp_path / 'new' / 'folder'
    with write_folder(str(path)) as folder:
        (folder / 'sub').mkdir()
        (folder / 'sub' / 'a.txt').write_text('1')
        assert not path.exists()
    assert (path / 'sub' / 'a.txt').read_text() == '1'
    assert names(path.parent) == ['folder']


def test_folder_that_exists(tmp_path):
    path = tmp_path / 'folder'
    path.mkdir()
    with write_folder(path) as folder:  # an empty one is no loss
        (folder / 'a.txt').write_text('1')
    with pytest.raises(FileExistsError, match='not empty'), write_folder(path):
        pytest.fail('the block must not run')
    with write_folder(path, overwrite=True) as folder:
        (folder / 'b.txt').write_text('2')
    assert names(path) == ['b.txt'] and names(tmp_path) == ['folder']
    with pytest.raises(NotADirectoryError, match='is a file'), write_folder(path / 'b.txt'):
        pytest.fail('the block must not run')


def test_failure_leaves_the_old_folder(tmp_path):
    path = tmp_path / 'folder'
    path.mkdir()
    (path / 'old.txt').touch()
    with (
        pytest.raises(ValueError, match='no picture'),
        write_folder(path, overwrite=True) as folder,
    ):
        (folder / 'half.txt').touch()
        raise ValueError('no picture')
    assert names(path) == ['old.txt'] and names(tmp_path) == ['folder']


def test_failed_rename_puts_the_old_folder_back(tmp_path):
    path = tmp_path / 'folder'
    path.mkdir()
    (path / 'old.txt').touch()
    with pytest.raises(OSError), write_folder(path, overwrite=True) as folder:
        folder.rmdir()  # so that there is nothing to rename
    assert names(path) == ['old.txt'] and names(tmp_path) == ['folder']
