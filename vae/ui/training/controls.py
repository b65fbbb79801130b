"""The page's control of a setting, made from what the setting says of itself."""

import math

import gradio as gr

from vae.training.setting import Setting


def control(setting: Setting, value: object) -> gr.components.Component:
    """What shows `value` and takes another, within the setting's limits."""
    words = {"label": setting.label, "info": setting.help}
    if setting.choices:
        return gr.Dropdown(list(setting.choices), value=value, **words)
    if setting.type is bool:
        return gr.Checkbox(value, **words)
    if setting.type is str:
        return gr.Textbox(value, **words)
    precision, step = (0, 1) if setting.type is int else (None, _step(value))
    number = gr.Number(
        value, precision=precision, step=step, minimum=setting.low, maximum=setting.high, min_width=80, **words
    )
    number.raise_if_out_of_bounds = lambda *_: None  # the setting's own check says it better, and everywhere the same
    return number


def _step(value: float) -> float:
    """How far one click goes: a tenth of the value's order of magnitude."""
    return 10.0 ** (math.floor(math.log10(value)) - 1) if value else 0.1
