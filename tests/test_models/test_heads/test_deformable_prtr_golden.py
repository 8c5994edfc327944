"""The authors' deformable network gives their numbers.

The tests are those of the plain networks, with another reference, and a few
of what only this one has.
"""

import numpy as np
import pytest
import torch
from test_prtr_golden import (  # noqa: F401
    Golden,
    test_double_precision,
    test_flip_test_to_image_coordinates,
    test_forward_is_the_last_level,
    test_inputs_are_the_reference,
    test_losses_and_gradients,
    test_matching,
    test_outputs_of_all_levels,
    test_read_out,
)
from torch.nn.modules.batchnorm import _BatchNorm

from prtr_plugin.checkpoints.two_stage import DEFORMABLE_RULES

NAME = 'deform_prtr_res50_384x288_coco'


@pytest.fixture(scope='module')
def case(data_dir):
    return Golden(NAME, data_dir, DEFORMABLE_RULES)


def test_parameter_count(case):
    norms = [m for m in case.model.modules() if isinstance(m, _BatchNorm)]
    # which are buffers there
    frozen = {p for m in norms for p in m.parameters()}
    params = set(case.model.parameters()) - frozen
    assert sum(p.numel() for p in params) == 46_251_734
    assert case.info['parameters_total'] == 46_251_734


def test_reference_points(case):
    """They depend on nothing but the queries, at all decoder levels."""
    head, seen = case.model.head, []
    handle = head.transformer.decoder.register_forward_hook(
        lambda module, args, out: seen.append(out[1])
    )
    head.forward_levels([torch.rand(2, c, 4, 4) for c in (512, 1024, 2048)])
    handle.remove()
    expected = case.ref['debug/init_reference']
    np.testing.assert_allclose(seen[0].detach(), np.stack([expected] * 6), atol=1e-6)
