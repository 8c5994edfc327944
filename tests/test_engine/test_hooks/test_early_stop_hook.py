"""When a training ends early."""

from types import SimpleNamespace

import pytest
from mmengine.logging import MMLogger

from prtr_plugin.engine.hooks import EarlyStopHook


def stops_after(curve, **options):
    """Number of validations until the hook ends the training, None for never."""
    hook = EarlyStopHook('AP', **options)
    loop = SimpleNamespace(stop_training=False)
    runner = SimpleNamespace(train_loop=loop, logger=MMLogger.get_instance('early_stop'))
    hook.before_run(runner)
    for i, value in enumerate(curve):
        hook.after_val_epoch(runner, {'AP': value})
        if loop.stop_training:
            return i + 1
    return None


@pytest.mark.parametrize(
    'curve, expected',
    [
        ([0] * 20, None),  # nothing has been learned yet
        ([0, 0, 0, 0.1, 0.2, 0.2, 0.2], 7),
        ([0, 0.1, 0, 0], 4),  # from 0.1 on every validation counts
        ([0.1, 0.2, 0.3, 0.4, 0.5], None),
        ([0.1, 0.1004, 0.1008], 3),  # less than min_delta is no progress
    ],
)
def test_stops(curve, expected):
    assert stops_after(curve, patience=2) == expected


def test_missing_metric(recwarn):
    hook = EarlyStopHook('AP')
    hook.after_val_epoch(SimpleNamespace(), {'PCK': 0.3})
    assert any('AP' in str(warning.message) for warning in recwarn)
