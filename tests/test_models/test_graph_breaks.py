"""``torch.compile`` sees backbone and head as one graph, in training and in testing."""

import pytest
import torch

from helpers.networks import NETWORKS, build_network, inputs


@pytest.mark.slow
@pytest.mark.parametrize('kind', NETWORKS)
def test_network_is_one_graph(kind, mmpose_scope):
    model, (images, *_) = build_network(kind).eval(), inputs(2)

    def training(images):
        return model.head.forward_layers(model.extract_feat(images))

    feats = [x.detach() for x in model.extract_feat(images)]
    torch.compiler.reset()
    for network, x in ((training, images), (model.head, feats)):
        # with fullgraph a graph break is an error
        found = torch.compile(network, fullgraph=True, backend='eager')(x)
        for a, b in zip(found, network(x)):
            torch.testing.assert_close(a, b)
            assert a.requires_grad
