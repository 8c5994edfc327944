import gc
import json
import os.path as osp
from typing import Any

from .findings import MISSING, Finding


def read_json(path: str) -> tuple[Any, list[Finding]]:
    """Read a JSON file, or say why it cannot be read.

    Args:
        path (str): JSON file

    Returns:
        tuple:
        - content (Any): ``None`` if it cannot be read
        - findings (List[Finding]): Why it cannot be read, or empty
    """

    def refuse(problem: str, remedy: str) -> tuple[Any, list[Finding]]:
        return None, [Finding(path, 'file', None, '', None, problem, remedy)]

    if not osp.exists(path):
        return refuse(MISSING, 'Correct the path, or set data_root to the folder of the dataset.')
    enabled = gc.isenabled()
    gc.disable()  # it would visit millions of new objects again and again
    try:
        with open(path, encoding='utf-8') as file:
            return json.load(file), []
    except OSError as error:
        return refuse(f'cannot be read ({error.strerror})', 'It must be a readable file.')
    except (ValueError, RecursionError) as error:  # not JSON, or not even text
        remedy = 'It may be cut off: download or write it again.'
        return refuse(f'is not valid JSON ({error})', remedy)
    finally:
        if enabled:
            gc.enable()
