"""A page in the browser that finds the joints in a picture."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmengine.model import BaseModel

from ..deploy.reader import decode_image
from ..models.estimators import PRTRCascade
from ..visualization import draw_people
from .prediction import predict


def make_page(
    model: BaseModel,
    detector: Callable[[list[np.ndarray]], list[np.ndarray]] | None = None,
    title: str = 'Human poses',
) -> Any:
    """Make a page: a picture in, the drawn picture and a table of joints out.

    It loads nothing from the network and sends nothing there. Pictures of
    several users wait for each other, and uploads are deleted after an hour.

    Args:
        model (BaseModel): See :func:`predict`
        detector (Callable, optional): See :func:`predict_files`
        title (str): Title of the page. Defaults to ``'Human poses'``

    Returns:
        gradio.Interface: The page, which its ``launch`` shows.

    Raises:
        ImportError: If gradio is not installed.

    Example:
        >>> make_page(load_run('work_dirs/people5')).launch()
    """
    os.environ.setdefault('GRADIO_ANALYTICS_ENABLED', 'False')  # read by its import
    try:
        import gradio
    except ModuleNotFoundError as error:
        if error.name != 'gradio':
            raise
        raise ImportError(
            'The page needs gradio, which is not installed: pip install prtr_plugin[demo]'
        ) from error

    def find(path: str | None, kpt_thr: float, score_thr: float = 0.3) -> tuple:
        if path is None:
            return '', None, []
        try:
            pixels = decode_image(Path(path).read_bytes(), Path(path).name)
            boxes = None if detector is None else detector([pixels])
            (people,) = predict(model, [pixels], boxes, score_thr=score_thr)
        except (OSError, ValueError) as error:
            return str(error), None, []
        drawn = draw_people(pixels, people, model.dataset_meta, kpt_thr)
        rows = [
            [i, name, round(x, 1), round(y, 1), round(score, 3)]
            for i, person in enumerate(people)
            for name, (x, y, score) in person.to_dict()['keypoints'].items()
        ]
        found = f'{len(people)} {"person" if len(people) == 1 else "people"}'
        return f'{found} in {Path(path).name}', mmcv.bgr2rgb(drawn), rows

    def slider(label: str) -> gradio.Slider:
        return gradio.Slider(0, 1, 0.3, step=0.05, label=label)

    description = 'All people in the picture are found.'
    inputs = [
        gradio.File(label='Picture', file_types=['image']),
        slider('lowest score of a joint that is drawn'),
    ]
    if detector is None and not isinstance(model, PRTRCascade):
        description = 'The whole picture is taken for one person: crop it to a person first.'
    else:
        inputs.append(slider('lowest score of a person'))
    return gradio.Interface(
        find,
        inputs,
        [
            gradio.Textbox(label='Result'),
            gradio.Image(label='Drawn', format='png', buttons=['download', 'fullscreen']),
            gradio.Dataframe(headers=['person', 'joint', 'x', 'y', 'score'], label='Joints'),
        ],
        title=title,
        description=description,
        live=True,
        flagging_mode='never',
        clear_btn=None,
        analytics_enabled=False,
        delete_cache=(600, 3600),
        concurrency_limit=1,
    )


def serve_page(page: Any, host: str = '127.0.0.1', port: int | None = None) -> str:
    """Show a page to browsers, until ``page.close()`` or the end of the process.

    Args:
        page (gradio.Interface): See :func:`make_page`
        host (str): Address to listen at, ``'0.0.0.0'`` for other machines'
            browsers. Defaults to this machine's alone
        port (int, optional): Defaults to the first free one from 7860

    Returns:
        str: Address of the page.

    Raises:
        OSError: If the port is taken, or there is no such address.
    """
    try:
        # gradio would try a hundred ports at an address that does not exist
        socket.create_server((host, port or 0)).close()
    except (OSError, OverflowError) as error:  # of ports above 65535
        raise OSError(
            f'The page cannot be shown at {host}, port {port or "any"}: {error}. Give another one.'
        ) from error
    options = dict(share=False, prevent_thread_lock=True, quiet=True, footer_links=[])
    return page.launch(server_name=host, server_port=port, **options)[1]
