"""The page of a service: Gradio's server over a service's answers, closed but for what the page uses."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.serve.page.allowlist import PathAllowlist
from pipelines.serve.page.client import GenerationClient, GenerationService, LookupService, ServiceClient
from pipelines.serve.settings import ServiceLimits

if TYPE_CHECKING:
    from gradio import Blocks

    from pipelines.serve.access import ASGI

# Questions that are on their way to the service at once, and those that may wait for it.
_AT_ONCE = 8
_WAITING = 64
# How often uploads are looked through, and how old they get, in seconds.
_SWEEP_S, _KEEP_S = 600, 3600
# A lens and its echo; a browser would ask the service for one otherwise.
_ICON = (
    "<link rel='icon' href=\"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32' "
    "fill='none' stroke='%230b6b7f' stroke-width='3'><circle cx='12' cy='16' r='7'/>"
    "<path d='M22 9a10 10 0 0 1 0 14M26.5 5a16 16 0 0 1 0 22'/></svg>\">"
)
_STYLE = Path(__file__).parent / "page.css"


def mount_page(handle: Any, root_path: str, limits: ServiceLimits | None = None, sounds: Any = None) -> ASGI:
    """Return the page as an ASGI app.

    Args:
        handle: of the deployment that searches; see `pipelines.serve.page.client.ServiceClient`.
        root_path: where the page will lie, as in `/page`; the service's own paths lie beside it.
        limits: of uploads.
        sounds: handle of the deployment that makes sounds; None leaves them out.
    """
    made_by = GenerationClient(sounds) if sounds is not None else None
    return make_page(ServiceClient(handle), root_path, limits or ServiceLimits(), made_by)


def make_page(
    service: LookupService, root_path: str, limits: ServiceLimits, sounds: GenerationService | None = None
) -> ASGI:
    """Return the page of a service as an ASGI app; arguments as of `mount_page`."""
    _keep_to_itself()
    import gradio as gr
    from fastapi import FastAPI

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    gr.mount_gradio_app(
        app,
        build_blocks(service, limits, sounds),
        path="/",
        root_path=root_path,
        # Base64 makes a file a third larger on its way to the service.
        max_file_size=limits.body_bytes // 4 * 3,
        css_paths=_STYLE,
        theme=_theme(),
        head=_ICON,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        show_error=False,
    )
    return PathAllowlist(app)


def build_blocks(
    service: LookupService, limits: ServiceLimits, sounds: GenerationService | None = None
) -> Blocks:
    """Return the page's parts: its head, the search, the making of sounds, what is known of the dataset."""
    import gradio as gr

    from pipelines.serve.page import render
    from pipelines.serve.page.generate_handlers import GenerateHandlers
    from pipelines.serve.page.generate_tab import add_generate_tab
    from pipelines.serve.page.search_handlers import SearchHandlers
    from pipelines.serve.page.search_tab import add_search_tab

    asker = SearchHandlers(service, limits)

    async def opened() -> list[Any]:
        about = await service.about()
        return [render.render_head(about), render.render_foot(about), *await asker.opened()]

    how: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    with gr.Blocks(title="Echolens", analytics_enabled=False, delete_cache=(_SWEEP_S, _KEEP_S)) as blocks:
        head = gr.HTML("", elem_id="head", apply_default_css=False)
        if sounds is None:
            choices = add_search_tab(asker)
        else:
            sounder = GenerateHandlers(sounds, limits)
            with gr.Tabs(elem_id="modes"):
                with gr.Tab("Search", id="search"):
                    choices = add_search_tab(asker)
                with gr.Tab("Picture to sound", id="make"):
                    offered = add_generate_tab(sounder)
            blocks.load(sounder.opened, None, offered, **how)
        foot = gr.HTML("", elem_id="foot", apply_default_css=False)
        blocks.load(opened, None, [head, foot, *choices], **how)
    for block in blocks.blocks.values():
        _take_uploads_only(block)
    queued: Blocks = blocks.queue(max_size=_WAITING, default_concurrency_limit=_AT_ONCE, api_open=False)
    # Gradio (`_check_allowed`) lets every path pass before `launch`, which a mounted app never calls.
    queued.has_launched = True
    return queued


def _keep_to_itself() -> None:
    """Before Gradio is imported: it asks no host of its own, and its uploads lie in a folder of this user."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    folder = Path(tempfile.gettempdir()) / f"echolens-uploads-{os.getuid()}"
    if "GRADIO_TEMP_DIR" not in os.environ:
        folder.mkdir(mode=0o700, exist_ok=True)
        os.environ["GRADIO_TEMP_DIR"] = str(folder)


def _take_uploads_only(block: Any) -> None:
    """Keep Gradio from fetching the address that a browser gives in place of an upload."""
    keep = block.async_move_resource_to_block_cache

    async def uploaded(path: Any) -> Any:
        if "://" in str(path):
            raise ValueError("an address in place of an upload")
        return await keep(path)

    block.async_move_resource_to_block_cache = uploaded


def _theme() -> Any:
    """Return Gradio's plainest theme with fonts that its own package brings; the rest is in page.css."""
    import gradio as gr

    return gr.themes.Base(
        font=[gr.themes.LocalFont("Source Sans Pro", weights=(400, 700)), "system-ui", "sans-serif"],
        font_mono=[gr.themes.LocalFont("IBM Plex Mono", weights=(400,)), "ui-monospace", "monospace"],
        text_size=gr.themes.sizes.text_md,
        radius_size=gr.themes.sizes.radius_md,
    )
