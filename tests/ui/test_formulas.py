"""The page's formulas are MathML that any XML parser takes, with the structure meant."""

import xml.etree.ElementTree as ElementTree

import pytest

pytest.importorskip("gradio")

from vae.ui.formulas import formula
from vae.ui.tabs import interpolate, reconstruct, sample, train


def tags(text: str) -> list[str]:
    return [node.tag for node in ElementTree.fromstring(formula(text).replace("&nbsp;", " ")).iter()][2:]


def test_what_is_written_is_what_is_set():
    assert tags("x^2") == ["msup", "mi", "mn"]
    assert tags("x_i^2") == ["msubsup", "mi", "mi", "mn"]
    assert tags("∑_j") == ["munder", "mo", "mi"]
    assert tags("frac{a}{b}")[0] == "mfrac"
    assert tags("hat{x}")[0] == "mover"
    assert tags("log x") == ["mi", "mspace", "mi"]
    assert tags('"a b"') == ["mtext"]
    assert tags("a < b") == ["mi", "mo", "mi"]


@pytest.mark.parametrize("tab", [reconstruct, sample, interpolate, train])
def test_every_tab_has_formulas_that_parse(tab):
    body = ElementTree.fromstring(f"<div>{tab.WHY.replace('&nbsp;', ' ')}</div>")
    assert body.findall("math") and all(p.text for p in body.findall("p"))
