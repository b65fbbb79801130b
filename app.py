"""VAE Studio: `python app.py` opens the page; on Spaces this file is what runs."""

import sys

from vae.errors import InputError

try:
    from vae.ui.app import create_app

    demo = create_app()
except InputError as error:
    print(f"Error: {error}", file=sys.stderr)
    sys.exit(2)

if __name__ == "__main__":
    demo.launch()
