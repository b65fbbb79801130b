"""The page's control of a setting, made from what the setting says of itself."""

import math

import gradio as gr

from vae.images import COLOURS
from vae.training.setting import Setting

AS_THE_MODEL = "as the model"  # what stands where a setting of the network is left out


def control(setting: Setting, value: object) -> gr.components.Component:
    """What shows `value` and takes another, within the setting's limits."""
    words = {"label": setting.label, "info": setting.help}
    if setting.choices:
        none = [("none", "")] if setting.optional else []
        return gr.Dropdown([*none, *((each, each) for each in setting.choices)], value=value or "", **words)
    if setting.type is bool:
        return gr.Checkbox(value, **words)
    if setting.type is str or setting.auto or setting.optional:  # Gradio's number cannot be left empty
        placeholder = AS_THE_MODEL if setting.optional else None
        return gr.Textbox(shown(setting, value), placeholder=placeholder, min_width=80, **words)
    # No limits of Gradio's: the setting's own check says it better, and everywhere the same.
    return gr.Number(value, step=1 if setting.type is int else _step(value), min_width=80, **words)


def shown(setting: Setting, value: object) -> object:
    """`value` as the setting's control has it."""
    text = setting.type is str or setting.auto or setting.optional
    return ("" if value is None else str(value)) if text else value


def meant(setting: Setting, value: object) -> object:
    """What the setting's control says, as the setting takes it: `shown`'s inverse, where that is possible."""
    word = value.strip() if isinstance(value, str) else None
    if word == "" and setting.optional:
        return None
    if word is not None and setting.type is int and word.isdecimal():
        return int(word)
    return value if word is None else word


def channels() -> gr.Dropdown:
    """The control of an image's channels, by what they are."""
    names = [(AS_THE_MODEL, ""), *((COLOURS[count].replace("RGB", "colour"), str(count)) for count in COLOURS)]
    return gr.Dropdown(
        names, value="", label="Colours", info="Of the images; left out, the network's own.", min_width=80
    )


def _step(value: float) -> float:
    """How far one click goes: a tenth of the value's order of magnitude."""
    return 10.0 ** (math.floor(math.log10(value)) - 1) if value else 0.1
