"""What the page makes of fitted priors, and of models that are shown beside each other."""

import pytest

pytest.importorskip("gradio")

import vae
from vae.errors import InputError
from vae.models import ConvConfig, build
from vae.ui.catalog import Catalog


def saved(folder, **changes) -> str:
    return str(vae.save(build(ConvConfig(**{"features": (1, 4, 6, 4), **changes})).eval(), folder))


def test_a_model_is_seen_beside_the_most_alike_of_the_other_kind(tmp_path, monkeypatch):
    catalog = Catalog(tmp_path / "runs")
    assert catalog.counterpart("mnist-ae") == "mnist-vae"
    assert catalog.counterpart("mnist-vae") == "mnist-ae"
    assert catalog.counterpart(None) == catalog.counterpart(catalog.first())
    assert catalog.counterpart(saved(tmp_path / "own", trained_on="mnist")) == "mnist-ae"
    assert catalog.counterpart(saved(tmp_path / "elsewhere", trained_on="digits")) is None
    assert catalog.counterpart(saved(tmp_path / "unsaid")) is None
    with pytest.raises(InputError, match="none-such"):
        catalog.counterpart("none-such")

    small, large = tmp_path / "small", tmp_path / "large"
    saved(small, trained_on="digits", variational=False)
    saved(large, trained_on="digits", variational=False, features=(1, 8, 12, 4))
    monkeypatch.setattr("vae.ui.catalog.bundled", lambda: {"large": large, "small": small})
    assert catalog.counterpart(str(tmp_path / "elsewhere")) == "small"
