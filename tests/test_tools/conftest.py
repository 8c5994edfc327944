"""What the tests of several tools share.

Fixtures:
    benchmark_options, small_cfg: a tiny config, for the benchmark.
    cases, tasks: modules of the benchmark.
"""

import pytest

from prtr_plugin.apis import load_config


@pytest.fixture(scope='session')
def benchmark_options():
    """Settings that make the config of the quickstart tiny."""
    return {
        'model.head.transformer.num_encoder_layers': 1,
        'model.head.transformer.num_decoder_layers': 2,
        'model.backbone.stem_channels': 8,
        'model.backbone.base_channels': 8,
        'model.head.in_channels': 32,
    }


@pytest.fixture(scope='module')
def small_cfg(small_config, benchmark_options):
    """The tiny config."""
    return load_config(small_config, benchmark_options)


@pytest.fixture(scope='module')
def cases(load_tool):
    """``benchmark_cases.py``."""
    return load_tool('analysis_tools/benchmark_cases.py')


@pytest.fixture(scope='module')
def tasks(load_tool):
    """``benchmark_tasks.py``."""
    return load_tool('analysis_tools/benchmark_tasks.py')
