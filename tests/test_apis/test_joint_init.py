"""Starting from weights for other joints."""

import pytest
import torch

from prtr_plugin.apis import load_config, plan_training, write_initial_weights
from prtr_plugin.checkpoints import CheckpointError

LAYERS = {
    f'model.head.transformer.num_{kind}_layers': n for kind, n in (('encoder', 1), ('decoder', 2))
}


def test_plan_maps_joints_by_name(checkpoint, small_config, own_people, tmp_path):
    plan = plan_training(
        own_people,
        model=small_config,
        init=checkpoint,
        work_dir=tmp_path / 'run',
        cfg_options=LAYERS,
    )
    old = torch.load(checkpoint, weights_only=False)['state_dict']
    new = torch.load(tmp_path / 'run/init.pth', weights_only=True)['state_dict']
    # nose, wrists and ankles of COCO, and "no keypoint"
    rows = [0, 9, 10, 15, 16, 17]
    assert torch.equal(new['head.fc_cls.weight'], old['head.fc_cls.weight'][rows])
    assert torch.equal(new['backbone.conv1.weight'], old['backbone.conv1.weight'])
    assert '5 joints kept, 0 new' in plan.decisions['model']
    # all joints are known: small steps from good weights
    scratch = plan_training(
        own_people, model=small_config, work_dir=tmp_path / 'scratch', cfg_options=LAYERS
    )
    rates = [load_config(str(p.config)).optim_wrapper.optimizer.lr for p in (plan, scratch)]
    assert rates[0] == pytest.approx(rates[1] / 10)
    assert f"load_from = '{tmp_path / 'run/init.pth'}'" in plan.config.read_text()


def test_names_of_a_converter(checkpoint, small_config, own_people, tmp_path):
    weights = torch.load(checkpoint, weights_only=False)['state_dict']
    plan = plan_training(
        own_people, model=small_config, work_dir=tmp_path / 'run', cfg_options=LAYERS
    )
    source, config = tmp_path / 'a.pth', str(plan.config)
    names = ['nose', *(f'other_{i}' for i in range(16))]
    torch.save(dict(state_dict=weights, meta=dict(keypoint_names=names)), source)
    change = write_initial_weights(source, config, tmp_path / 'b.pth')
    assert change.kept == ['nose'] and len(change.new) == 4 and len(change.dropped) == 16
    torch.save(dict(state_dict=weights), source)
    with pytest.raises(CheckpointError, match='does not name its joints'):
        write_initial_weights(source, config, tmp_path / 'c.pth')
    torch.save(dict(state_dict=weights, meta=dict(keypoint_names=names[:3])), source)
    with pytest.raises(
        CheckpointError, match=r'a.pth: There is no head.fc_cls.weight for 3 joints'
    ):
        write_initial_weights(source, config, tmp_path / 'c.pth')
    assert not (tmp_path / 'c.pth').exists()
