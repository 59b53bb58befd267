import pytest

from rotgrid.spec import Probe, Trial, extensions
from rotgrid.spec.extensions import Own

from own_files import write, write_all, write_npz


@pytest.mark.parametrize("name", ["mynets.nets:build", "mynets.attacks:mine", "mine.npz"])
def test_what_is_pinned_says_all_that_was_read(folder, name):
    write_all(folder)
    write_npz(folder / "mine.npz")
    own = extensions.read(name)
    again = extensions.unpinned(name, extensions.pinned(own))
    assert again._replace(data=None) == own._replace(data=None)
    assert (again.data and again.data._replace(label="")) == (
        own.data and own.data._replace(label="")
    )


@pytest.mark.parametrize(
    "fields", [{}, {"digest": 3}, {"digest": "xyz"}, {"digest": "0" * 15}, []]
)
def test_what_no_launch_has_pinned_is_refused(fields):
    with pytest.raises((KeyError, TypeError)):
        extensions.unpinned("nets:build", fields)


def test_keys_follow_the_contents_and_not_the_place(folder):
    write_all(folder)
    trial = Trial(model="mynets.nets:build", data="mnist5k")
    assert trial.model_digest == extensions.read("mynets.nets:build").digest
    write(folder, mynets__blocks=(folder / "mynets/blocks.py").read_text() + "# more\n")
    changed = Trial(model="mynets.nets:build", data="mnist5k")
    assert changed.key() != trial.key()
    assert Trial(**trial.model_dump()).key() == trial.key()


def test_a_trial_of_a_row_needs_no_files(folder):
    write_all(folder)
    write_npz(folder / "mine.npz")
    trial = Trial(model="mynets.nets:build", data="mine.npz", adversary="mynets.attacks:mine")
    probe = Probe(attack="mynets.attacks:mine", eps=0.2, n_images=5)
    for file in folder.rglob("*.*"):
        file.unlink()
    extensions._known.clear()
    assert Trial(**trial.model_dump()).key() == trial.key()
    assert Probe(**probe.model_dump()) == probe


def test_an_own_attack_is_asked_what_its_def_names(folder):
    write_all(folder)
    probe = Probe(attack="mynets.attacks:mine", eps=0.2, restarts=7, loss="dlr", label_rule="true")
    assert (probe.steps, probe.restarts, probe.loss, probe.eps_unit) == (3, 0, "ce", "pixel")
    assert Probe(attack="mynets.attacks:mine", steps=9).steps == 9


def test_own_names_that_are_of_nothing_name_the_field(folder):
    with pytest.raises(ValueError, match=r"model\n.*|no file nets\.py"):
        Trial(model="nets:build")
    with pytest.raises(ValueError, match="no such file in"):
        Trial(model="stdcnn", data="none.npz")


def test_unknown_versions_are_known_by_their_digest_alone():
    assert extensions.known("nets:build", "0" * 16) == Own("0" * 16)
