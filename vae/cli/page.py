"""The command that opens the page: app."""

from typing import Annotated

import typer


def page(
    host: Annotated[str | None, typer.Option(help="The address to listen on; this machine alone unless given.")] = None,
    port: Annotated[int | None, typer.Option(help="The first free one from 7860 on unless given.")] = None,
) -> None:
    """Open the page, until Ctrl-C. Its settings are environment variables, which the README lists."""
    from vae.errors import InputError

    try:
        from vae.ui.app import create_app
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise InputError("The page needs the library gradio: pip install 'gradio[mcp]'.") from None
    try:
        create_app(server_name=host).launch(server_name=host, server_port=port)
    except OSError as error:
        where = f"port {port}" if port else "any port from 7860 to 7959"
        raise InputError(
            f"The page cannot be opened on {where}{f' of {host}' if host else ''}; it is in use, or not this machine's."
        ) from error
