"""Files and folders that exist whole or not at all."""

import os
import stat

import pytest

from prtr_plugin.fileio import (
    check_output,
    check_output_folder,
    remove_unfinished,
    write_file,
    write_folder,
)


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


def test_outputs(tmp_path, monkeypatch):
    old = tmp_path / 'old.json'
    old.touch()
    for path in ('new.json', 'new/folder/new.json', 'NEW.JSON'):
        check_output(tmp_path / path, formats=['.json'], inputs=[old])
    check_output(old, force=True)
    assert names(tmp_path) == ['old.json']
    for error, message, *args in (
        (FileExistsError, 'old.json" exists.*--force', old),
        (ValueError, 'old.json" must end with one of .png, .jpg', old, True, ['.png', '.jpg']),
        (ValueError, 'must not replace the input', old, True, [], [tmp_path / 'x/../old.json']),
        (IsADirectoryError, 'is a folder', tmp_path, True),
        (NotADirectoryError, 'old.json" is a file', old / 'a' / 'new.json'),
    ):
        with pytest.raises(error, match=message):
            check_output(*args)
    monkeypatch.setattr(os, 'access', lambda *args: False)
    with pytest.raises(PermissionError, match='not writable'):
        check_output(tmp_path / 'new.json')


def test_output_folders(tmp_path):
    (tmp_path / 'empty').mkdir()
    for name in ('empty', 'new', 'new/one'):
        check_output_folder(tmp_path / name)
    with pytest.raises(FileExistsError, match='not empty.*--force'):
        check_output_folder(tmp_path)
    check_output_folder(tmp_path, force=True)
    (tmp_path / 'file').touch()
    with pytest.raises(NotADirectoryError, match='file" is a file'):
        check_output_folder(tmp_path / 'file' / 'folder')


def test_unfinished(tmp_path):
    """Only what the function leaves is removed."""
    kept = ['.a.pth-old', '.a.pth-UPPER123', '.a.json-abcdefgh', 'a.pth-abcdefgh', 'a.pth']
    for name in (*kept, '.a.pth-abc_12gh'):
        (tmp_path / name).mkdir()
    remove_unfinished(tmp_path, '*.pth')
    assert names(tmp_path) == sorted(kept)
    writing = write_file(tmp_path / 'b.pth')
    writing.__enter__().touch()
    remove_unfinished(tmp_path, '*.pth')
    assert names(tmp_path) == sorted(kept)
