"""The web page and its HTTP endpoints. Only this package imports gradio."""
