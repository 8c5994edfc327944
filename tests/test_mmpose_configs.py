"""mmpose's own configs run unchanged beside the plugin.

This file is also the script that a new Python runs: the other tests have
imported the plugin long ago.
"""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow
CONFIGS = dict(
    heatmap='topdown_heatmap/coco/td-hm_res50_8xb64-210e_coco-256x192',
    rle='topdown_regression/coco/td-reg_res50_rle-8xb64-210e_coco-256x192',
    simcc='simcc/coco/simcc_res50_8xb64-210e_coco-256x192',
)


def train_and_predict(path: str, data_root: str) -> dict:
    """A training step and a prediction with a config of mmpose."""
    import numpy as np
    import torch
    from mmengine.dataset import pseudo_collate
    from mmengine.hub import get_config
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import init_default_scope
    from mmpose.registry import DATASETS, MODELS

    cfg = get_config(f'mmpose::body_2d_keypoint/{path}.py')
    init_default_scope(cfg.default_scope)
    # nothing is downloaded
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    np.random.seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    batches = []
    for split in ('train', 'val'):
        dataset_cfg = cfg[f'{split}_dataloader'].dataset
        dataset_cfg.update(data_root=data_root, bbox_file=None)
        dataset = DATASETS.build(dataset_cfg)
        batches.append(pseudo_collate([dataset[0], dataset[1]]))
    model.train()
    losses = model.train_step(batches[0], wrapper)
    model.eval()
    with torch.no_grad():
        results = model.val_step(batches[1])
    return dict(
        losses={name: value.item() for name, value in losses.items()},
        keypoints=[r.pred_instances.keypoints.tolist() for r in results],
        weights=sum(p.double().sum().item() for p in model.parameters()),
    )


def registered() -> dict:
    """What the registries of mmengine, mmdet and mmpose hold, by name."""
    import mmdet.models
    import mmengine.runner
    import mmpose.apis
    import mmpose.evaluation
    from mmengine.registry import Registry

    modules = {}
    for package in (mmengine, mmdet, mmpose):
        for registry in vars(package.registry).values():
            if isinstance(registry, Registry):
                for name, module in registry.module_dict.items():
                    modules[registry.scope, registry.name, name] = module
    return modules


def main() -> None:
    """Print what is the same with and without the plugin."""
    before = registered()
    results = {name: [train_and_predict(path, sys.argv[1])] for name, path in CONFIGS.items()}
    assert 'prtr_plugin' not in sys.modules
    import prtr_plugin  # noqa: F401

    after = registered()
    for name, path in CONFIGS.items():
        results[name].append(train_and_predict(path, sys.argv[1]))
    added = {name for _, _, name in set(after) - set(before)}
    print(
        json.dumps(
            dict(
                results=results,
                num_before=len(before),
                added=sorted(added),
                replaced=[
                    str(key) for key, module in before.items() if after.get(key) is not module
                ],
            )
        )
    )


@pytest.fixture(scope='module')
def report(tmp_path_factory):
    from helpers import tiny_datasets

    root = tmp_path_factory.mktemp('coco')
    tiny_datasets.write_coco(root)
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', __file__, f'{root}/'], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize('name', CONFIGS)
def test_runs_as_without_the_plugin(report, name):
    without, with_plugin = report['results'][name]
    assert without == with_plugin
    assert with_plugin['losses']['loss'] > 0
    assert len(with_plugin['keypoints']) == 2


def test_nothing_is_replaced(report):
    assert report['replaced'] == []
    assert report['num_before'] > 500
    # the snapshots would show a change
    assert {'PRTRHead', 'HungarianKeypointCodec'} <= set(report['added'])


if __name__ == '__main__':
    main()
