"""What a training tells about itself."""

from prtr_plugin.apis import train


def test_reports(small_config, quick_options, tmp_path):
    reports = []
    options = {**quick_options, 'train_cfg.val_interval': 1}
    train(small_config, work_dir=tmp_path, report=reports.append, cfg_options=options)
    steps = [report for report in reports if not report.validated]
    # data for two or three steps an epoch; every one is reported
    assert [report.step for report in steps] == list(range(1, steps[0].max_steps + 1))
    assert {report.epoch for report in steps} == {1, 2} and steps[0].max_epochs == 2
    assert all(report.values['loss'] > 0 for report in steps)
    validations = [report for report in reports if report.validated]
    assert [report.epoch for report in validations] == [1, 2]
    assert validations[-1].step == steps[-1].step
    assert 'coco/AP' in validations[0].values and 'coco/AP' not in steps[0].values
