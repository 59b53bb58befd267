"""The columns of each table, each declared once with type, unit and meaning.

`python -m rotgrid.results.columns` prints them as Markdown.
"""

from collections.abc import Iterable
from typing import Annotated, Literal, NamedTuple, Union, get_args, get_origin

import pyarrow as pa

from rotgrid.spec import Probe, Record, Trial

SCHEMA_VERSION = 7
"""Later versions added columns to earlier ones and dropped `rotgrid.spec.REMOVED_FIELDS`; earlier
parts are read all the same."""
TableName = Literal["evaluations", "training", "equivariance", "diagnostics"]


class Column(NamedTuple):
    """One column: `unit` is empty where there is none."""

    name: str
    type: pa.DataType
    unit: str
    meaning: str


UNITS = {
    "train_size": "images",
    "train_rotation": "degrees",
    "train_translation": "pixels",
    "adversary_eps": "pixel units",
    "test_rotation": "degrees",
    "test_translation": "pixels",
    "eps": "`eps_unit`",
    "n_images": "images",
}


def columns_of(record: type[Record]) -> list[Column]:
    """The fields of a record as columns."""

    def arrow_type(annotation: object) -> pa.DataType:
        kinds = get_args(annotation) if get_origin(annotation) is Union else (annotation,)
        plain = [get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in kinds]
        if all(get_origin(kind) is Literal or kind is str for kind in plain):
            return pa.string()
        return pa.int64() if annotation is int else pa.float64()

    return [
        Column(name, arrow_type(field.annotation), UNITS.get(name, ""), field.description or "")
        for name, field in record.model_fields.items()
    ]


PROVENANCE = [
    Column("rotgrid_version", pa.string(), "", "version that produced the row"),
    Column(
        "git_commit", pa.string(), "", "commit of the checkout, `-dirty` if changed, or unknown"
    ),
    Column(
        "code",
        pa.string(),
        "",
        "digest of rotgrid's own files and of the versions of torch, numpy, scipy and e2cnn",
    ),
    Column("torch_version", pa.string(), "", "version of torch"),
    Column("device", pa.string(), "", "cpu, or the name of the GPU"),
    Column("host", pa.string(), "", "machine"),
    Column("finished_at", pa.timestamp("us", tz="UTC"), "UTC", "when the row was finished"),
]
TABLES: dict[TableName, list[Column]] = {
    "evaluations": [
        Column("trial", pa.string(), "", "key of the trial"),
        Column("probe", pa.string(), "", "key of the probe"),
        *columns_of(Trial),
        *columns_of(Probe),
        Column("n", pa.int64(), "images", "test images measured"),
        Column("n_correct", pa.int64(), "images", "images still classified correctly"),
        Column("correct", pa.binary(), "", "a bit per image in test order (numpy.packbits)"),
        Column("class_n", pa.list_(pa.int64()), "images", "`n` of each class, 0 to 9"),
        Column("class_n_correct", pa.list_(pa.int64()), "images", "`n_correct` of each class"),
        Column(
            "distances",
            pa.list_(pa.float32()),
            "pixel units",
            "fmn, lbfgs: distance of each image to the decision boundary, from above, as `threat` "
            "measures it",
        ),
        Column(
            "search_checked",
            pa.int64(),
            "images",
            "attacks that search: a random few of the images that count as correct here because "
            "the attack failed at a larger eps, attacked here directly",
        ),
        Column(
            "search_missed",
            pa.int64(),
            "images",
            "of them broken; they still count as correct",
        ),
        Column(
            "no_gradient",
            pa.int64(),
            "images",
            "strong: images at which the margin has no gradient, or one that is not its slope",
        ),
        Column(
            "square_only",
            pa.int64(),
            "images",
            "strong: images that Square alone broke, at any eps measured together",
        ),
        Column("parameters", pa.int64(), "", "trainable parameters of the network"),
        Column("seconds", pa.float64(), "s", "time of the measurement (a sweep is shared evenly)"),
        *PROVENANCE,
    ],
    "training": [
        Column("trial", pa.string(), "", "key of the trial"),
        *columns_of(Trial),
        Column("epoch", pa.int64(), "", "passes over the training images, from 1"),
        Column("train_loss", pa.float64(), "nats", "mean loss of the epoch (capsules: their own)"),
        Column(
            "val_n", pa.int64(), "images", "validation images, rotated like the training images"
        ),
        Column("val_n_correct", pa.int64(), "images", "of them classified correctly, no attack"),
        Column(
            "val_robust_n",
            pa.int64(),
            "images",
            "validation images attacked by PGD-10 at `adversary_eps` (with an adversary only)",
        ),
        Column("val_robust_n_correct", pa.int64(), "images", "of them classified correctly"),
        Column("parameters", pa.int64(), "", "trainable parameters of the network"),
        Column("seconds", pa.float64(), "s", "time of the epoch"),
        *PROVENANCE,
    ],
    "equivariance": [
        Column("trial", pa.string(), "", "key of the trial"),
        Column("probe", pa.string(), "", "key of the probe"),
        *columns_of(Trial),
        Column("degrees", pa.float64(), "degrees", "exact rotation of every image"),
        Column("position", pa.int64(), "", "of the layer in the network, from 1"),
        Column("layer", pa.string(), "", "module of the network, or `logits`"),
        Column(
            "error",
            pa.float64(),
            "deviations of the maps",
            "0: rotates with the image (logits: stays)",
        ),
        Column("n", pa.int64(), "images", "test images measured"),
        *PROVENANCE,
    ],
    "diagnostics": [
        Column("trial", pa.string(), "", "key of the trial"),
        Column("probe", pa.string(), "", "key of the probe"),
        *columns_of(Trial),
        *columns_of(Probe),
        Column("check", pa.string(), "", "what was checked (docs/attacks.md, Checks)"),
        Column("value", pa.float64(), "", "what was measured"),
        Column("limit", pa.float64(), "", "the largest value that passes"),
        Column("passed", pa.bool_(), "", "whether the network's robustness can be believed"),
        Column("n", pa.int64(), "images", "test images measured"),
        *PROVENANCE,
    ],
}
NULLABLE = (
    *("class_n", "class_n_correct", "distances", "val_robust_n", "val_robust_n_correct"),
    *("search_checked", "search_missed", "no_gradient", "square_only"),
    "code",
)
"""Columns that are null where they do not apply or were not yet written."""

SCHEMAS = {
    table: pa.schema([pa.field(c.name, c.type) for c in columns])
    for table, columns in TABLES.items()
}
KEYS: dict[TableName, tuple[str, ...]] = {
    "evaluations": ("trial", "probe"),
    "training": ("trial", "epoch"),
    "equivariance": ("trial", "probe", "layer"),
    "diagnostics": ("trial", "probe", "check"),
}
"""What names a row of each table."""


def column_table(tables: Iterable[TableName] = get_args(TableName)) -> str:
    """The columns of the tables in Markdown, as docs/columns.md shows them."""
    lines = []
    for table in tables:
        lines += [f"**`{table}/`**", "", "| column | type | unit | meaning |", "|---|---|---|---|"]
        lines += [f"| `{c.name}` | {c.type} | {c.unit} | {c.meaning} |" for c in TABLES[table]]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(column_table())
