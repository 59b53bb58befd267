import importlib.util
from types import SimpleNamespace

import pytest

from rotgrid.models import e2cnn_repair


def so2_convolution(package):
    space = package.gspaces.Rot2dOnR2(-1, maximum_frequency=1)
    fields = package.nn.FieldType(space, [space.irrep(0), space.irrep(1)])
    return package.nn.R2Conv(fields, fields, 5)


def test_a_layer_of_all_rotations_can_be_built():
    with e2cnn_repair.e2cnn() as package:
        assert so2_convolution(package).weights.shape == (21,)


def test_reflections_of_an_image_can_be_built():
    with e2cnn_repair.e2cnn() as package:
        space = package.gspaces.FlipRot2dOnR2(4)
        before = package.nn.FieldType(space, [space.trivial_repr])
        package.nn.R2Conv(before, package.nn.FieldType(space, [space.regular_repr]), 3)


def test_hashes_tell_solutions_apart():
    e2cnn_repair.repair_hashes()
    e2cnn_repair.repair_hashes()  # once more changes nothing
    from e2cnn.group import so2_group
    from e2cnn.kernels.irreps_basis import R2ContinuousRotationsSolution as Solution

    group = so2_group(2)
    one, same, other = (Solution(group, 0, irrep) for irrep in (1, 1, 2))
    assert hash(one) == hash(same)
    assert hash(one) != hash(other)
    assert len({one, same, other}) == 2


def test_another_version_of_e2cnn_is_not_touched(monkeypatch):
    monkeypatch.setattr(e2cnn_repair, "version", lambda package: "0.3.0")
    with pytest.raises(ImportError, match=r"e2cnn is 0\.3\.0, the repair is for 0\.2\.3"):
        e2cnn_repair.repair_hashes()


def test_a_numpy_that_needs_no_repair_gets_none(monkeypatch):
    older = SimpleNamespace(ndarray=SimpleNamespace(tostring=None))
    monkeypatch.setattr(e2cnn_repair, "np", older)
    monkeypatch.setattr(e2cnn_repair, "repair_hashes", lambda: pytest.fail("repaired"))
    with e2cnn_repair.e2cnn():
        pass


def test_exactly_the_classes_that_are_broken_are_repaired():
    """In a second copy of the module, which nobody has repaired."""
    spec = importlib.util.find_spec("e2cnn.kernels.irreps_basis")
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    kinds = [value for value in vars(fresh).values() if isinstance(value, type)]
    hashes = {kind.__name__: getattr(kind.__hash__, "__code__", None) for kind in kinds}
    broken = {name for name, code in hashes.items() if code and "tostring" in code.co_names}
    assert broken == set(e2cnn_repair.BROKEN_HASHES)
