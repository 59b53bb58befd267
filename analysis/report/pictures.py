"""Specifications -> SVG -> PDF and PNG, in processes beside this one; and the script that draws
figures on a page.

What they run is vl-convert alone, so that they load nothing else. It holds Python's lock: threads
would wait for each other.
"""

import contextlib
import functools
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pooch
import vl_convert

from rotgrid.results import storage

PROCESSES = 2
"""Together they are busy for as long as this one, which lays out the figures."""
PPI = 150


def beside() -> ProcessPoolExecutor:
    """The processes; they start when they are given something to do."""
    return ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn"))


def bundle(pool: Executor) -> Future[str]:
    """Vega's script. Each version takes a second or two to make it: it is made once, then read
    from the user's cache."""
    kept = Path(pooch.os_cache("rotgrid")) / f"vega-{version('vl-convert-python')}.js"
    with contextlib.suppress(OSError):
        found: Future[str] = Future()
        found.set_result(kept.read_text(encoding="utf-8"))
        return found
    made: Future[str] = pool.submit(vl_convert.javascript_bundle)  # type: ignore[call-arg]
    made.add_done_callback(functools.partial(keep, kept))
    return made


def keep(kept: Path, made: Future[str]) -> None:
    """Put the script into the cache, if there can be one."""
    with contextlib.suppress(OSError):
        storage.put(kept.parent, kept.name, made.result().encode())


def printed(pool: Executor, svgs: Sequence[str]) -> Iterator[tuple[bytes, bytes]]:
    """Each picture for print, as PDF, and as pixels, as PNG."""
    pdfs = [pool.submit(vl_convert.svg_to_pdf, svg) for svg in svgs]
    pngs = pool.map(functools.partial(vl_convert.svg_to_png, ppi=PPI), svgs)
    return zip((pdf.result() for pdf in pdfs), pngs, strict=True)
