"""`python -m rotgrid.gallery RESULTS`: pictures of test images, as stored networks see them.

Of each network and attack: images upright, rotated as in training, perturbed, and the perturbation
enlarged; the first images, those nearest to the decision boundary and those farthest from it. Of
digits also the rotation at which a 6 becomes a 9. What each picture shows is in a JSON file
beside it; `python -m analysis RESULTS` draws them into the report.

Exit codes: 0 done, 2 usage or no such network, 4 data missing, 5 results not reachable.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

import torch
from torch import Tensor, nn

from rotgrid.attacks.linf import frozen, input_gradient
from rotgrid.console import tolerate_lost_output
from rotgrid.data import DataError, Dataset, pixels, subset
from rotgrid.device import prepare_device
from rotgrid.experiment import dataset_on, load_network, trial_of_network
from rotgrid.pictures import perturbed, sixes
from rotgrid.results import galleries, storage
from rotgrid.results.checkpoints import weights_of
from rotgrid.results.storage import Root
from rotgrid.rotation import draw_angles, rotate
from rotgrid.spec import Trial

IMAGES = 100
"""Test images that are attacked, to choose from."""
SHOWN = 3
"""Pictures of a kind."""
AFTER_LAUNCH = {"networks": 4, "images": 30, "seconds": 2.0}
"""What the gallery at the end of a launch may take."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    about, _, codes = __doc__.partition("\n\n")[2].rpartition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m rotgrid.gallery",
        description=about,
        epilog=codes,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", metavar="RESULTS", help="folder, s3:// or gs://")
    parser.add_argument(
        "--trial", metavar="KEY", action="append", help="a network, by its key or the beginning"
    )
    parser.add_argument("--attack", metavar="NAME", action="append", help="default: fmn")
    parser.add_argument(
        "--images", metavar="N", type=int, default=IMAGES, help=f"to choose from ({IMAGES})"
    )
    parser.add_argument("--out", metavar="DIR", help="default: RESULTS/gallery")
    args = parser.parse_args(arguments)
    try:
        return draw_all(args)
    except DataError as error:
        print(error, file=sys.stderr)
        return 4
    except storage.StoreError as error:
        print(error, file=sys.stderr)
        return 5
    except (LookupError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


def draw_all(args: argparse.Namespace) -> int:
    """Draw every network that is asked for; the exit code.

    Raises:
        LookupError: there is no such network.
        ValueError: there is no such attack, or a network's file is damaged.
    """
    attacks = args.attack or ["fmn"]
    for name in attacks:
        perturbed.attack_named(name)
    if args.images < 1:
        raise ValueError(f"--images {args.images}: at least 1")
    out = args.out or f"{args.results}/{galleries.FOLDER}"
    prepare_device(1, 0)
    for key in networks(args.results, args.trial or [""]):
        trial = trial_of_network(args.results, key)
        model = load_network(args.results, key)
        for name in draw(model, trial, attacks, out, args.images):
            print(f"{out}/{name}")
    return 0


def networks(results: Root, beginnings: Iterable[str]) -> list[str]:
    """The keys of the stored networks that begin so.

    Raises:
        LookupError: none does.
    """
    stored = [PurePosixPath(name).stem for name in storage.names(results, "checkpoints", ".pt")]
    trained = [key for key in stored if "." not in key]
    chosen: dict[str, None] = {}
    for beginning in beginnings:
        keys = [key for key in trained if key.startswith(beginning)]
        if not keys:
            more = ", ..." if len(trained) > 3 else ""
            some = f": {', '.join(trained[:3])}{more}" if trained else ""
            with_key = f" with a key {beginning}..." if beginning else ""
            raise LookupError(
                f"{results}: no stored network{with_key}, of {len(trained)} stored{some}"
            )
        chosen.update(dict.fromkeys(keys))
    return list(chosen)


def draw(
    model: nn.Module, trial: Trial, attacks: Sequence[str], out: Root, images: int
) -> list[str]:
    """Draw a network under each attack and, of digits, between 6 and 9; the JSON files written.

    Args:
        model: trained, in evaluation mode, on the CPU.
        trial: what it is.
        attacks: names of `perturbed.choices`.
        out: folder or URI.
        images: how many test images are attacked.
    """
    dataset = dataset_on(trial.data, torch.device("cpu"), trial.data_digest)
    with frozen(model):
        names = [draw_attack(model, trial, attack, dataset, out, images) for attack in attacks]
        if sixes.are_digits(trial.data, dataset.shape.classes):
            names.append(draw_sixes(model, trial, dataset, out, images))
    return names


def draw_attack(
    model: nn.Module, trial: Trial, attack: str, dataset: Dataset, out: Root, count: int
) -> str:
    """Pictures of test images under an attack, rotated as a probe of the network's own range
    rotates them; the name of the JSON file."""
    chosen = subset(dataset.test_labels, count)
    upright, labels = pixels(dataset.test_images[chosen]), dataset.test_labels[chosen]
    degrees = draw_angles(len(dataset.test_labels), trial.train_rotation, "test")[chosen]
    rotated = rotate(upright, degrees, trial.interpolation)
    images = perturbed.attacked(attack, model, upright, rotated, degrees, labels)
    drawn = [
        (group, int(chosen[at]), *perturbed.picture(images, at))
        for group, places in perturbed.groups(images, SHOWN).items()
        for at in places
    ]
    about = {"kind": "attack", "attack": attack, "rotation": trial.train_rotation}
    about |= {"threat": perturbed.threat_of(attack), "eps": perturbed.eps_tried(attack)}
    about |= perturbed.summary(images)
    return store(trial, about, drawn, out)


def draw_sixes(model: nn.Module, trial: Trial, dataset: Dataset, out: Root, count: int) -> str:
    """Pictures of a 6 that is rotated until it is a 9; the name of the JSON file."""
    six: Tensor = (dataset.test_labels == sixes.SIX).nonzero().squeeze(1)[:count]
    images, labels = pixels(dataset.test_images[six]), dataset.test_labels[six]
    met = sixes.meetings(model, images, labels, trial.interpolation)
    drawn = [
        (
            "sixes",
            int(six[met.positions[at]]),
            *sixes.picture(model, met, at, trial.interpolation),
        )
        for at in sixes.shown(met, SHOWN)
    ]
    return store(trial, {"kind": "sixes", **sixes.summary(met)}, drawn, out)


def store(
    trial: Trial,
    about: dict[str, object],
    drawn: Sequence[tuple[str, int, bytes, dict[str, object]]],
    out: Root,
) -> str:
    """Write a page with its pictures; its name.

    Args:
        trial: whose network it is.
        about: fields of the page.
        drawn: group, position in the test set, PNG file and other fields of each picture.
        out: folder or URI.
    """
    stem = galleries.stem(trial.key(), str(about.get("attack") or about["kind"]))
    pictures = [
        {"file": f"{stem}-{at:02d}.png", "group": group, "position": position, **words}
        for at, (group, position, _, words) in enumerate(drawn)
    ]
    fields = {"trial": trial.key(), "network": trial, **about, "pictures": pictures}
    return galleries.write(
        out, galleries.Page.model_validate(fields), (png for _, _, png, _ in drawn)
    )


def illustrate(results: Root, trials: Iterable[Trial]) -> None:
    """Draw a handful of networks that a launch has trained, in a second or two. Whatever goes
    wrong is said on stderr, and costs nothing."""
    until = time.monotonic() + AFTER_LAUNCH["seconds"]
    out = f"{results}/{galleries.FOLDER}"
    try:
        for trial in handful(trials, int(AFTER_LAUNCH["networks"])):
            trained = storage.exists(results, weights_of(trial.key()))
            if not trained or storage.exists(out, f"{trial.key()}-fmn.json"):
                continue
            model, images = load_network(results, trial.key()), int(AFTER_LAUNCH["images"])
            if time.monotonic() + expected(model, trial, images) > until:
                continue
            draw(model, trial, ["fmn"], out, images)
    except Exception as error:
        print(f"no gallery: {type(error).__name__}: {error}", file=sys.stderr)


def handful(trials: Iterable[Trial], most: int) -> list[Trial]:
    """A network of each model and variant: without adversary and of the widest range, if it can
    be."""
    order = sorted(trials, key=lambda t: (t.adversary != "none", -t.train_rotation, t.seed))
    kinds: dict[tuple[str, str], Trial] = {}
    for trial in order:
        kinds.setdefault((trial.model, trial.variant), trial)
    return list(kinds.values())[:most]


def expected(model: nn.Module, trial: Trial, count: int) -> float:
    """Seconds that FMN will take, by one of its steps: the second, since the first also prepares
    what the others use."""
    dataset = dataset_on(trial.data, torch.device("cpu"), trial.data_digest)
    images, labels = pixels(dataset.test_images[:count]), dataset.test_labels[:count]
    with frozen(model):
        for _ in range(2):
            start = time.monotonic()
            input_gradient(model, images, labels, "ce")
    return (time.monotonic() - start) * int(perturbed.settings_of("fmn")["steps"])


if __name__ == "__main__":
    tolerate_lost_output()
    sys.exit(main())
