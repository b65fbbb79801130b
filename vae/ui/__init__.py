"""The web page and its HTTP endpoints. Only this package imports gradio."""

import os

from vae.threads import wait_asleep
from vae.user_folders import own_temporary, provide_home

# Here, since gradio, huggingface_hub and torch look at them when they are first imported. Gradio's own choice,
# /tmp/gradio, belongs to the first user who starts an app on the machine; the uploads of all others would fail.
wait_asleep()
provide_home()
os.environ.setdefault("GRADIO_TEMP_DIR", str(own_temporary() / "gradio"))
# Gradio would keep figures of 10,000 calls, and sum them all up after each.
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "200")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000")
