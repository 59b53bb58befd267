"""Specifications -> SVG -> PDF and PNG, in processes beside this one.

What they run is vl-convert alone, so that they load nothing else. It holds Python's lock: threads
would wait for each other.
"""

import functools
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor

import vl_convert

PROCESSES = 2
"""Together they are busy for as long as this one, which lays out the figures."""
PPI = 150


def beside() -> ProcessPoolExecutor:
    """The processes; they start when they are given something to do."""
    return ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn"))


def printed(pool: Executor, svgs: Sequence[str]) -> Iterator[tuple[bytes, bytes]]:
    """Each picture for print, as PDF, and as pixels, as PNG."""
    pdfs = [pool.submit(vl_convert.svg_to_pdf, svg) for svg in svgs]
    pngs = pool.map(functools.partial(vl_convert.svg_to_png, ppi=PPI), svgs)
    return zip((pdf.result() for pdf in pdfs), pngs, strict=True)
