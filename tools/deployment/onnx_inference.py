r"""Find the joints of people with a file of export_onnx.py, without PyTorch.

This runs prtr_plugin/deploy/reader.py, which can also be copied along with the
model and run on its own. Neither needs the package to be installed.

Example:
    python tools/deployment/onnx_inference.py model.onnx person.jpg \
        --bbox 50 20 170 300 --with-readout --out joints.json --draw drawn.png
"""

import runpy
from pathlib import Path


def main() -> None:
    """Run the script."""
    tools = Path(__file__).resolve().parents[1]
    # in the repository, or where the package is installed with its tools in .mim
    packages = (tools.parent / 'prtr_plugin', tools.parents[1])
    (reader,) = (p / 'deploy/reader.py' for p in packages if (p / 'deploy/reader.py').is_file())
    # by its path: importing the package would import torch
    runpy.run_path(str(reader), run_name='__main__')


if __name__ == '__main__':
    main()
