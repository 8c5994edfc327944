from ..datasets.contract import FileUse, Finding, find_data_problems
from ..datasets.contract import check_annotations as check_file
from .config import load_config


def check_annotations(
    path: str,
    metainfo: str | None = None,
    img_dir: str | None = None,
    bbox_file: str | None = None,
    pictures: bool = True,
    cfg_options: dict | None = None,
) -> list[Finding]:
    """Look at the annotation files of a config, or at a single one.

    :func:`train` and :func:`test` do the same for the files that they read,
    and refuse to start with errors. ``docs/datasets.md`` says what is checked.

    Args:
        path (str): Config file (.py), or annotation file in COCO's layout
        metainfo (str, optional): For an annotation file: config file with the
            joints as ``dataset_info``, such as
            ``configs/_base_/datasets/coco.py`` of mmpose. Defaults to
            ``None``, and the file decides on the joints
        img_dir (str, optional): For an annotation file: folder of the
            pictures. Defaults to ``None``, and pictures are not checked
        bbox_file (str, optional): For an annotation file: boxes of a detector
        pictures (bool): Whether to look for the pictures of a config, which
            may take long on network drives. Defaults to ``True``
        cfg_options (dict, optional): For a config: settings to override, see
            :func:`load_config`

    Returns:
        List[Finding]: What is wrong, ``severity='error'`` if no run must
        start with it. Empty if all is well.

    Raises:
        FileNotFoundError: If the config does not exist.

    Example:
        >>> from prtr_plugin import apis
        >>> for finding in apis.check_annotations('config.py'):
        ...     print(finding)
    """
    if path.endswith('.py'):
        cfg = load_config(path, cfg_options)
        cfg.check_pictures = pictures and cfg.get('check_pictures', True)
        return find_data_problems(cfg)[0]
    use = FileUse(img_dir=img_dir, bbox_file=bbox_file, area=True)
    if metainfo is not None:
        use.metainfo = dict(from_file=metainfo)
    return check_file(path, use)
