"""The page as an ASGI app: Gradio's server, reduced to what the page uses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.serve.page.allowlist import PathAllowlist
from pipelines.serve.page.client import GenerationService, LookupService, ServiceClient
from pipelines.serve.page.upload_guard import UploadGuard
from pipelines.serve.page.uploads import UploadFolder, make_private_folder
from pipelines.serve.settings import ServiceLimits

if TYPE_CHECKING:
    from gradio import Blocks

    from pipelines.serve.access import ASGI, Receive, Scope, Send

# Concurrent searches, and the length of Gradio's queue.
_CONCURRENCY = 8
_MAX_QUEUED = 64
# How often old uploads are deleted, and their age, in seconds.
_SWEEP_S, _KEEP_S = 600, 3600
# A lens and its echo. Inline, or browsers would request /favicon.ico.
_ICON = (
    "<link rel='icon' href=\"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32' "
    "fill='none' stroke='%230b6b7f' stroke-width='3'><circle cx='12' cy='16' r='7'/>"
    "<path d='M22 9a10 10 0 0 1 0 14M26.5 5a16 16 0 0 1 0 22'/></svg>\">"
)
_STYLE = Path(__file__).parent / "page.css"


def mount_page(
    handle: Any,
    root_path: str,
    limits: ServiceLimits | None = None,
    generation: GenerationService | None = None,
    folder: Path | None = None,
) -> ASGI:
    """Return the page as an ASGI app.

    Args:
        handle: of the deployment that searches; see `pipelines.serve.page.client.ServiceClient`.
        root_path: the path of the page, as in `/page`; the service's own paths are siblings of it.
        limits: of uploads.
        generation: the service that generates samples; None for a page without them.
        folder: where the folder of uploads is made; the system's temporary one if None.
    """
    return make_page(ServiceClient(handle), root_path, limits or ServiceLimits(), generation, folder)


def make_page(
    service: LookupService,
    root_path: str,
    limits: ServiceLimits,
    generation: GenerationService | None = None,
    folder: Path | None = None,
) -> ASGI:
    """Return the page of a service as an ASGI app; see `mount_page`."""
    uploads = UploadFolder(make_private_folder(folder), limits)
    _configure_gradio(uploads)
    import gradio as gr
    from fastapi import FastAPI

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    gr.mount_gradio_app(
        app,
        build_blocks(service, limits, uploads, generation),
        path="/",
        root_path=root_path,
        # A file in base64, as the service gets it, is a third larger.
        max_file_size=limits.body_bytes // 4 * 3,
        css_paths=_STYLE,
        theme=_make_theme(),
        head=_ICON,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        show_error=False,
    )
    return _with_root_path(PathAllowlist(UploadGuard(app, uploads, limits)), root_path)


def _with_root_path(app: ASGI, root_path: str) -> ASGI:
    """Return an app that knows where it is mounted: its server serves this path alone."""

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": root_path}, receive, send)

    return mounted


def build_blocks(
    service: LookupService,
    limits: ServiceLimits,
    uploads: UploadFolder,
    generation: GenerationService | None = None,
) -> Blocks:
    """Return the layout: a header, the search tab, the generation tab, a footer about the dataset."""
    import gradio as gr

    from pipelines.serve.page import render
    from pipelines.serve.page.generate_handlers import GenerateHandlers
    from pipelines.serve.page.generate_tab import add_generate_tab
    from pipelines.serve.page.search_handlers import SearchHandlers
    from pipelines.serve.page.search_tab import add_search_tab

    search = SearchHandlers(service, limits, uploads)

    async def on_load() -> list[Any]:
        about = await service.describe()
        return [render.render_head(about), render.render_foot(about), *await search.on_load()]

    options: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    with gr.Blocks(title="Echolens", analytics_enabled=False, delete_cache=(_SWEEP_S, _KEEP_S)) as blocks:
        head = gr.HTML("", elem_id="head", apply_default_css=False)
        if generation is None:
            choices = add_search_tab(search)
        else:
            generate = GenerateHandlers(generation, limits, uploads)
            with gr.Tabs(elem_id="modes"):
                with gr.Tab("Search", id="search"):
                    choices = add_search_tab(search)
                with gr.Tab(render.name_tab(generation.form), id="make"):
                    filled = add_generate_tab(generate, generation.form)
            blocks.load(generate.on_load, None, filled, **options)
        foot = gr.HTML("", elem_id="foot", apply_default_css=False)
        blocks.load(on_load, None, [head, foot, *choices], **options)
    for block in blocks.blocks.values():
        _refuse_urls(block)
    queued: Blocks = blocks.queue(
        max_size=_MAX_QUEUED, default_concurrency_limit=_CONCURRENCY, api_open=False
    )
    # Gradio (`_check_allowed`) lets every path pass before `launch`, which a mounted app never calls.
    queued.has_launched = True
    return queued


def _configure_gradio(uploads: UploadFolder) -> None:
    """Before Gradio is imported: keep it offline, and its uploads in their folder."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(uploads.path)


def _refuse_urls(block: Any) -> None:
    """Keep Gradio from fetching a URL that a client gives in place of an upload."""
    move = block.async_move_resource_to_block_cache

    async def move_upload(path: Any) -> Any:
        if "://" in str(path):
            raise ValueError("an address in place of an upload")
        return await move(path)

    block.async_move_resource_to_block_cache = move_upload


def _make_theme() -> Any:
    """Return Gradio's plainest theme with fonts from its own package; the rest is in page.css."""
    import gradio as gr

    return gr.themes.Base(
        font=[gr.themes.LocalFont("Source Sans Pro", weights=(400, 700)), "system-ui", "sans-serif"],
        font_mono=[gr.themes.LocalFont("IBM Plex Mono", weights=(400,)), "ui-monospace", "monospace"],
        text_size=gr.themes.sizes.text_md,
        radius_size=gr.themes.sizes.radius_md,
    )
