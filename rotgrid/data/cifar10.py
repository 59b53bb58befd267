"""CIFAR-10: the archive of the binary version, its extracted folder, or torchvision's folder."""

import io
import pickle
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rotgrid.data.files import (
    DataError,
    download,
    existing,
    not_found,
    places,
    read,
    remedy,
    require_checksums,
)
from rotgrid.data.parts import Arrays, split

NAME = "cifar10"
ARCHIVE = "cifar-10-binary.tar.gz"
ARCHIVE_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
MIRRORS = (
    "https://www.cs.toronto.edu/~kriz/",
    "https://cave.cs.toronto.edu/kriz/",
    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
)
FORM = (3, 32, 32)
"""Of an image: channels red, green, blue; rows; columns."""

Batch = tuple[NDArray[np.uint8], NDArray[Any]]
"""Images (n, 3, 32, 32) and labels (n,)."""


class Folder(NamedTuple):
    """An extracted archive: its files in order, the five of the training images first."""

    name: str
    checksums: dict[str, str]
    parse: Callable[[bytes], Batch]


def parse_binary(content: bytes) -> Batch:
    """Records of a label and 3,072 pixels, a byte each."""
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + int(np.prod(FORM)))
    return records[:, 1:].reshape(-1, *FORM), records[:, 0]


def parse_pickle(content: bytes) -> Batch:
    """A pickled batch of the Python version, whose content has been verified."""
    batch = pickle.loads(content, encoding="bytes")
    return batch[b"data"].reshape(-1, *FORM), np.array(batch[b"labels"])


BINARY = Folder(
    "cifar-10-batches-bin",
    {
        "data_batch_1.bin": "sha256:"
        "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        "data_batch_2.bin": "sha256:"
        "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        "data_batch_3.bin": "sha256:"
        "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        "data_batch_4.bin": "sha256:"
        "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        "data_batch_5.bin": "sha256:"
        "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        "test_batch.bin": "sha256:"
        "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    },
    parse_binary,
)
PYTHON = Folder(
    "cifar-10-batches-py",
    {
        "data_batch_1": "md5:c99cafc152244af753f735de768cd75f",
        "data_batch_2": "md5:d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "md5:54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "md5:634d18415352ddfa80567beed471001a",
        "data_batch_5": "md5:482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "md5:40351d587109b95175f43aff81a1287e",
    },
    parse_pickle,
)
"""As torchvision downloads and checks it. A pickle can run code when it is opened: these are
opened only if they are the official ones."""


def read_cifar10() -> Arrays:
    """Training is the first 45,000 of the training images, validation the last 5,000."""
    batches = read_batches()
    images, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    return split(NAME, images, labels, ("train", "val", "test"))


def read_batches() -> list[Batch]:
    """The verified batches of whichever form there is."""
    folders = places(NAME)
    if not folders:
        path = download(NAME, ARCHIVE, MIRRORS, f"sha256:{ARCHIVE_SHA256}")
        return read_archive(path, "delete it to download it again")
    if archive := next(existing(folders, [ARCHIVE]), None):
        return read_archive(archive, remedy(NAME))
    for form in (BINARY, PYTHON):
        for folder in folders:
            if (extracted := folder / form.name).is_dir():
                return read_folder(extracted, form, remedy(NAME))
    wanted = f"{ARCHIVE}, or the folder {BINARY.name} or {PYTHON.name}"
    raise not_found(NAME, wanted, folders)


def read_folder(folder: Path, form: Folder, todo: str) -> list[Batch]:
    """The batches of an extracted archive, each verified before it is parsed."""
    return [
        form.parse(require_checksums(read(path, todo), [checksum], path, todo))
        for path, checksum in ((folder / name, sum) for name, sum in form.checksums.items())
    ]


def read_archive(path: Path, todo: str) -> list[Batch]:
    """The batches of the archive, which is not extracted to disk."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); {todo}") from error
    require_checksums(content, [f"sha256:{ARCHIVE_SHA256}"], path, todo)
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            members = {Path(member.name).name: member for member in archive if member.isfile()}
            return [parse_binary(read_member(archive, members[n])) for n in BINARY.checksums]
    except (tarfile.TarError, EOFError, zlib.error, KeyError) as error:
        raise DataError(f"{path}: is not the archive of CIFAR-10 ({error}); {todo}") from error


def read_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The content of a file in an archive."""
    file = archive.extractfile(member)
    return file.read() if file else b""
