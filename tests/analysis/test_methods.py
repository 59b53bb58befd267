import polars as pl

from analysis import methods

from made_up import frame, study


def test_notes_come_from_the_rows(sparse):
    notes = "\n".join(methods.notes(sparse))
    for fact in (
        "MNIST-5k subset (not MNIST test accuracy); 3,500 training images, n = 200 to 1,000 test",
        "StdCNN table1 (25,000 parameters); GCNN table1 (25,000 parameters).",
        "recipe fast: adamw, one-cycle schedule, learning rate 0.005, batch 64, 4 epochs;",
        "seeds 0; bilinear",
        "interpolation; adversaries: none.",
        "PGD (20 steps, 1 random start): eps 0.05, 0.15; n = 200 test images",
        "No attack: n = 1,000 test images",
        "pixel units",
        "upper bound",
    ):
        assert fact in notes


def test_adversaries_are_named_with_their_eps(full):
    assert "adversaries: fgsm (eps 0.3)." in "\n".join(methods.notes(full))


def test_only_quickstart_data_carry_the_notice(sparse):
    assert methods.notices(sparse) == [
        "quickstart data: numbers are not MNIST test accuracy",
    ]
    mnist = frame(study(data="mnist", seeds=(0,), train_rotations=(0,), adversaries=("none",)))
    assert methods.notices(mnist) == []


def test_provenance_has_a_row_per_machine_and_version(sparse):
    other = sparse.head(2).with_columns(host=pl.lit("there"))
    table = methods.provenance(pl.concat([sparse, other]))
    assert table.select("git_commit", "host", "rows", "last").rows() == [
        ("0123abc", "here", sparse.height, "2026-01-02 03:04 UTC"),
        ("0123abc", "there", 2, "2026-01-02 03:04 UTC"),
    ]


def test_values_are_listed_or_counted():
    assert methods.values(pl.Series([3.0, 1.5, 3.0])) == "1.5, 3"
    assert methods.values(pl.Series(range(9)), "{}") == "0 to 8 (9 values)"
