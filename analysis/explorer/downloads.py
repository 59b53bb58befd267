"""Tables as files."""

import io

import polars as pl


def csv(table: pl.DataFrame) -> bytes:
    """Comma-separated, without columns of lists or bits."""
    return flat(table).write_csv().encode()


def parquet(table: pl.DataFrame) -> bytes:
    """All columns, as they are stored."""
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def flat(table: pl.DataFrame) -> pl.DataFrame:
    """The columns with one number or word per row."""
    return table.select(
        name
        for name, dtype in table.schema.items()
        if not dtype.is_nested() and dtype != pl.Binary
    )
