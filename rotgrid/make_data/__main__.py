"""`rotgrid data make OUT.npz ...`: write a data set of one's own, to be named in a grid.

Exit codes: 0 written, 2 usage, or data that are not as they should be.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rotgrid.console import tolerate_lost_output
from rotgrid.make_data.affnist import read_affnist
from rotgrid.make_data.arrays import KINDS, read_arrays
from rotgrid.make_data.convert import Labelled, summary, with_validation, write
from rotgrid.make_data.folders import read_folder
from rotgrid.spec.archive_checks import PARTS
from rotgrid.spec.archives import digest


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    args = parse_arguments(arguments)
    try:
        parts, note = read_parts(args)
        found = write(with_validation(parts, args.val_size), args.out)
    except ValueError as error:
        print(f"{args.out.name}: not written: {error}", file=sys.stderr)
        return 2
    mean, std = (" ".join(f"{x:.4f}" for x in m) for m in (found.shape.mean, found.shape.std))
    print(f"{args.out}: {summary(found)}; pixels {mean}, deviation {std}{note}")
    print(f"SHA-256 begins with {digest(args.out)}")
    print(f"in a grid:  data: {args.out.name}")
    return 0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="rotgrid data",
        description="Write a data set of one's own.",
        epilog=__doc__.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    make = parser.add_subparsers(dest="verb", required=True, metavar="make").add_parser(
        "make",
        help="an .npz file from arrays, from a folder of images, or from affNIST",
        epilog="Arrays are .npy files. Images: (n, size, size), (n, channels, size, size) or "
        "(n, size, size, channels), of whole numbers from 0 to 255 or floats in [0, 1]. "
        "Labels: (n,), from 0.",
    )
    make.add_argument("out", metavar="OUT.npz", type=npz, help="the file to write")
    for part in PARTS:
        for kind in KINDS:
            what = f"{kind} of {part}{' (or see --val-size)' * (part == 'val')}"
            make.add_argument(f"--{part}-{kind}", metavar="X.npy", type=Path, help=what)
    make.add_argument("--folder", metavar="DIR", type=Path, help="train/<class>/*.png, test/...")
    make.add_argument("--size", metavar="N", type=int, help="--folder: resize to N x N")
    make.add_argument("--grey", action="store_true", help="--folder: one channel")
    make.add_argument("--affnist", metavar="DIR", type=Path, help="affNIST's unpacked folder 32x")
    make.add_argument(
        "--batches", metavar="K", type=int, help="--affnist: of the 32 transformed files (1)"
    )
    make.add_argument(
        "--val-size",
        metavar="N",
        type=int,
        help="training images to validate on instead, the same share of each class, by a fixed "
        "rule (a tenth, at most 5,000); not if there is val",
    )
    return parser.parse_args(arguments)


def npz(text: str) -> Path:
    """A path that ends with .npz."""
    if not text.endswith(".npz"):
        raise argparse.ArgumentTypeError(f"{text} does not end with .npz")
    return Path(text)


def read_parts(args: argparse.Namespace) -> tuple[dict[str, Labelled], str]:
    """The parts that the arguments name, and what to say of them."""
    arrays = {
        key: path for key, path in vars(args).items() if key.endswith(("_images", "_labels"))
    }
    sources = {
        "arrays": any(arrays.values()),
        "--folder": args.folder is not None,
        "--affnist": args.affnist is not None,
    }
    if sum(sources.values()) != 1:
        raise ValueError(f"give one of {', '.join(sources)} (--train-images ...)")
    for option, value, source in (
        ("--size", args.size, "--folder"),
        ("--grey", args.grey, "--folder"),
        ("--batches", args.batches, "--affnist"),
    ):
        if value and not sources[source]:
            raise ValueError(f"{option}: goes with {source} only")
    if args.size is not None and args.size < 1:
        raise ValueError(f"--size: {args.size} is not above 0")
    if args.folder:
        parts, classes = read_folder(args.folder, args.size, args.grey)
        return parts, f"\nclasses: {classes}"
    if args.affnist:
        return read_affnist(args.affnist, 1 if args.batches is None else args.batches), ""
    return read_arrays(arrays), ""


if __name__ == "__main__":
    tolerate_lost_output()
    sys.exit(main())
