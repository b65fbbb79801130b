"""The look: warm neutral surfaces, one burnt-orange accent, the system's own fonts; light and dark both designed."""

import gradio as gr
from gradio.themes.utils import colors, sizes

# Every text colour below has a contrast of at least 4.5:1 on the surfaces it is used on.
LIGHT = {
    "bg": "#FAF8F5",
    "card": "#FFFFFF",
    "sunken": "#F3EFE9",
    "line": "#E5DFD6",
    "line-strong": "#8C8275",
    "text": "#211D18",
    "muted": "#675E53",
    "accent": "#C2410C",
    "accent-hover": "#9A3412",
    "accent-soft": "#FDF0E7",
    "on-accent": "#FFFFFF",
    "second": "#1F5F70",
    "error": "#B42318",
    "error-soft": "#FEF1EF",
}
DARK = {
    "bg": "#161412",
    "card": "#1F1C19",
    "sunken": "#292520",
    "line": "#38322B",
    "line-strong": "#857A6C",
    "text": "#F2EDE6",
    "muted": "#ABA195",
    "accent": "#FB923C",
    "accent-hover": "#FDBA74",
    "accent-soft": "#33241A",
    "on-accent": "#1C1006",
    "second": "#7CC4D4",
    "error": "#FDA29B",
    "error-soft": "#3A1D1A",
}


def variables() -> str:
    """The palette as CSS custom properties, for the components of ours."""

    def block(selector: str, palette: dict[str, str]) -> str:
        return selector + "{" + "".join(f"--vs-{name}:{value};" for name, value in palette.items()) + "}"

    return block(":root", LIGHT) + block(".dark", DARK)


def theme() -> gr.themes.Base:
    """Gradio's own controls in the same palette. No web font: the system's cost nothing and are the sharpest."""
    base = gr.themes.Base(
        primary_hue=colors.orange,
        neutral_hue=colors.stone,
        radius_size=sizes.radius_lg,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    )
    both = {
        "body_background_fill": "bg",
        "body_text_color": "text",
        "body_text_color_subdued": "muted",
        "background_fill_primary": "card",
        "background_fill_secondary": "bg",
        "border_color_primary": "line",
        "border_color_accent": "accent",
        "link_text_color": "accent",
        "link_text_color_hover": "accent-hover",
        "link_text_color_visited": "accent",
        "block_background_fill": "card",
        "block_border_color": "line",
        "block_label_text_color": "muted",
        "block_title_text_color": "text",
        "block_info_text_color": "muted",
        "input_background_fill": "card",
        "input_border_color": "line-strong",
        "input_border_color_focus": "accent",
        "input_placeholder_color": "muted",
        "checkbox_background_color": "card",
        "checkbox_border_color": "line-strong",
        "checkbox_background_color_selected": "accent",
        "checkbox_border_color_selected": "accent",
        "checkbox_label_background_fill": "card",
        "checkbox_label_background_fill_selected": "accent-soft",
        "checkbox_label_border_color": "line",
        "checkbox_label_border_color_selected": "accent",
        "checkbox_label_text_color": "text",
        "checkbox_label_text_color_selected": "text",
        "slider_color": "accent",
        "loader_color": "accent",
        "error_background_fill": "error-soft",
        "error_border_color": "error",
        "error_text_color": "error",
        "error_icon_color": "error",
        "button_primary_background_fill": "accent",
        "button_primary_background_fill_hover": "accent-hover",
        "button_primary_border_color": "accent",
        "button_primary_text_color": "on-accent",
        "button_secondary_background_fill": "card",
        "button_secondary_background_fill_hover": "sunken",
        "button_secondary_border_color": "line-strong",
        "button_secondary_text_color": "text",
    }
    values = {name: LIGHT[key] for name, key in both.items()}
    values |= {f"{name}_dark": DARK[key] for name, key in both.items()}
    return base.set(
        **values,
        block_border_width="0px",
        block_shadow="none",
        block_padding="0px",
        block_title_text_weight="600",
        block_title_text_size="*text_sm",
        block_info_text_size="*text_sm",
        button_primary_shadow="none",
        button_secondary_shadow="none",
        button_large_radius="8px",
        button_large_text_size="*text_md",
        button_large_padding="10px 16px",
        button_transition="background-color .12s ease, border-color .12s ease",
        checkbox_label_shadow="none",
        input_border_width="1px",
        input_shadow="none",
        input_shadow_focus="none",
        input_radius="8px",
        layout_gap="16px",
        form_gap_width="0px",
    )
