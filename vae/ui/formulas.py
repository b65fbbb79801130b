"""Formulas for the page, written almost as one reads them and set by the browser (MathML): no script, no fonts."""

import html
import re

_TOKEN = re.compile(r'\s*("[^"]*"|[A-Za-z]{2,}|[^\W\d_]|\d+(?:\.\d+)?|\S)')
_WIDE = "∑"  # what stands above and below these stands there


def formula(text: str, display: bool = True) -> str:
    """MathML of e.g. `z = μ + σ ⊙ ε` or `frac{1}{2} ∑_j μ_j^2`.

    Letters and words are identifiers (words upright), "…" is text, x_i and x^2 index, {…} groups, frac{a}{b} and hat{x}
    are what they say, everything else is an operator.
    """
    tokens = _TOKEN.findall(text)
    body, _ = _row(tokens, 0)
    return f'<math display="{"block" if display else "inline"}"><mrow>{body}</mrow></math>'


def _row(tokens: list[str], at: int) -> tuple[str, int]:
    """The MathML of tokens[at:] up to a closing brace, and where that is."""
    parts = []
    while at < len(tokens) and tokens[at] != "}":
        word = tokens[at].isalpha() and len(tokens[at]) > 1 and tokens[at] not in ("frac", "hat")
        part, at = _atom(tokens, at)
        scripts = {}
        while at < len(tokens) and tokens[at] in "_^":
            sign = tokens[at]
            scripts[sign], at = _atom(tokens, at + 1)
        parts.append(_scripted(part, scripts) if scripts else part)
        if word and at < len(tokens) and tokens[at][0].isalpha():
            parts.append('<mspace width="0.18em"/>')  # log x, sin θ
    return "".join(parts), at


def _atom(tokens: list[str], at: int) -> tuple[str, int]:
    token = tokens[at]
    if token == "{":
        body, at = _row(tokens, at + 1)
        return f"<mrow>{body}</mrow>", at + 1
    if token == "frac":
        top, at = _atom(tokens, at + 1)
        bottom, at = _atom(tokens, at)
        return f"<mfrac>{top}{bottom}</mfrac>", at
    if token == "hat":
        body, at = _atom(tokens, at + 1)
        return f'<mover accent="true">{body}<mo>^</mo></mover>', at
    if token[0] == '"':
        return f"<mtext>{html.escape(token[1:-1]).replace(' ', '&nbsp;')}</mtext>", at + 1
    if token[0].isalpha():
        return f"<mi>{token}</mi>", at + 1
    if token[0].isdigit():
        return f"<mn>{token}</mn>", at + 1
    return f"<mo>{html.escape(token)}</mo>", at + 1


def _scripted(base: str, scripts: dict[str, str]) -> str:
    wide = any(sign in base for sign in _WIDE)
    low, high = scripts.get("_"), scripts.get("^")
    if low and high:
        tag = "munderover" if wide else "msubsup"
        return f"<{tag}>{base}{low}{high}</{tag}>"
    tag = ("munder" if wide else "msub") if low else ("mover" if wide else "msup")
    return f"<{tag}>{base}{low or high}</{tag}>"
