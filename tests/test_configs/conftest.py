import pytest


@pytest.fixture(autouse=True)
def unformatted_configs(monkeypatch):
    """Runs log and save their config, and yapf takes seconds to format it."""

    def unformatted(text, **kwargs):
        return text, True

    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', unformatted)
    # where other versions of mmengine have imported it
    monkeypatch.setattr('mmengine.config.config.FormatCode', unformatted, raising=False)
