import polars as pl

from analysis.report import methods
from analysis.rows import flags
from analysis.rows.loading import Loaded
from analysis.rows.overview import overview
from rotgrid.spec import Probe, Trial
from rotgrid.spec.recipes import FAST

from made_up import DIGEST, OWN, OWN_ATTACK, OWN_DATA, checks, frame, row, study, table_of

TRIAL = Trial(model="gcnn", data="mnist5k")


def test_notes_come_from_the_rows(sparse):
    notes = "\n".join(methods.notes(overview(sparse)))
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


def test_own_data_names_and_recipes_are_described():
    settings = FAST.model_copy(update={"weight_decay": 0.0005}).model_dump_json()
    rows = study(
        models=((OWN, ""),),
        data=OWN_DATA,
        adversaries=("none", OWN_ATTACK),
        attacks=(OWN_ATTACK,),
        recipe="mine",
        recipe_settings=settings,
    )
    notes = "\n".join(methods.notes(overview(frame(rows))))
    digest = DIGEST.format(1)
    for line in (
        "Data: mine.npz (3 x 20 x 20 pixels, 3 classes); 600 training images, n = 300 test",
        f"Networks: {OWN} (25,000 parameters).",
        f"Versions of own names: {OWN_DATA} (digest {digest}), {OWN_ATTACK} (digest {digest}), "
        f"{OWN} (digest {digest}).",
        "Training, recipe mine, like fast but weight_decay 0.0005: adamw, one-cycle schedule,",
        f"adversaries: {OWN_ATTACK} (eps 0.3).",
        f"{OWN_ATTACK} (20 steps, 1 restart): eps 0.05, 0.1, 0.2, 0.3; n = 300 test images",
    ):
        assert line in notes
    assert methods.notices(overview(frame(rows))) == []


def notes_of(*probes, **changes):
    return "\n".join(
        methods.notes(overview(frame([row(TRIAL, probe, **changes) for probe in probes])))
    )


def test_each_kind_of_attack_has_a_line_of_its_own():
    notes = notes_of(
        Probe(attack="pgd", eps=0.1),
        Probe(attack="pgd", eps=0.2, loss="margin"),
        Probe(attack="pgd", eps=0.3, eps_unit="normalised"),
        Probe(attack="rotation-grid", test_rotation=30.0),
        Probe(attack="fgsm", eps=0.1, test_translation=3.0),
        Probe(attack="fgsm", eps=0.2, clip="none"),
        Probe(),
        Probe(mode="train", n_images=500),
    )
    for line in (
        "PGD (40 steps, 1 random start): eps 0.1; n = 1,000 test images per network; what breaks",
        "PGD (40 steps, 1 random start, on the margin): eps 0.2; n",
        "PGD (40 steps, 1 random start): eps 0.3 in deviations of the data's pixels (1 is 0.3081 "
        "pixel units); n",
        "worst rotation (over all whole degrees in [-x, x] degrees, x = 30): n = 1,000 test "
        "images",
        "FGSM (1 step): eps 0.1; n = 1,000 test images per network, shifted by U[-t, t] pixels, "
        "t = 3.",
        "FGSM (1 step, not clipped): eps 0.2; n",
        "No attack: n = 1,000 test images per network.",
        "No attack: n = 500 test images per network, all with the network in training mode.",
    ):
        assert line in notes


def test_only_rows_of_a_search_are_called_so():
    words = "what breaks at one eps counts as broken at all larger ones"
    pgd = Probe(attack="pgd", eps=0.1)
    assert words in notes_of(pgd)
    assert words not in notes_of(pgd, class_n=None, code=None)
    assert words not in notes_of(Probe(attack="fgsm", eps=0.1))
    for other in ({"label_rule": "predicted"}, {"clip": "none"}, {"mode": "train"}):
        assert words not in notes_of(pgd.model_copy(update=other))


def test_without_a_check_nothing_reads_as_a_pass():
    rows = frame([row(TRIAL, Probe(test_rotation=0.0))])
    none, passed = table_of("diagnostics", []), table_of("diagnostics", checks(TRIAL, repeat=0))
    failed, whole = flags.failed(rows, none, table_of("training", [])), overview(rows)
    assert methods.checked(Loaded(rows, [], [], none, failed, whole)) == (
        "Networks checked for masked gradients: 0 of 1. Whether the accuracy of these networks "
        "under attack can be believed is unknown."
    )
    assert "unknown" not in methods.checked(Loaded(rows, [], [], passed, failed, whole))


def test_checked_networks_are_counted_and_failed_checks_listed():
    trials = [TRIAL.model_copy(update={"seed": seed}) for seed in range(3)]
    rows = frame([row(trial, Probe(test_rotation=0.0)) for trial in trials])
    diagnostics = table_of(
        "diagnostics", checks(trials[0], repeat=0.5) + checks(trials[2], repeat=0)
    )
    failed = flags.failed(rows, diagnostics, table_of("training", []))
    loaded = Loaded(rows, [], [], diagnostics, failed, overview(rows))
    assert methods.checked(loaded) == (
        "Networks checked for masked gradients: 2 of 3. Whether the accuracy of the others under "
        "attack can be believed is unknown. Networks whose accuracy under attack is not to be "
        "believed, by these or other checks: 1."
    )
    assert methods.failed(loaded).rows() == [
        ("gcnn", "table1", 0.0, "none", 0.0, 0, trials[0].key(), "repeat", 0.5, 0.01)
    ]


def test_shifts_in_training_are_named():
    assert "epochs, shifted by U[-t, t] pixels, t = 2; seeds" in notes_of(
        Probe(), train_translation=2.0
    )


def test_adversaries_are_named_with_their_eps(full):
    assert "adversaries: fgsm (eps 0.3)." in "\n".join(methods.notes(overview(full)))


def test_only_quickstart_data_carry_the_notice(sparse):
    assert methods.notices(overview(sparse)) == [
        "quickstart data: numbers are not MNIST test accuracy",
    ]
    mnist = frame(study(data="mnist", seeds=(0,), train_rotations=(0,), adversaries=("none",)))
    assert methods.notices(overview(mnist)) == []


def test_provenance_has_a_row_per_machine_and_version(sparse):
    other = sparse.head(2).with_columns(host=pl.lit("there"))
    table = methods.provenance(overview(pl.concat([sparse, other])))
    assert table.select("git_commit", "host", "rows", "last").rows() == [
        ("0123abc", "here", sparse.height, "2026-01-02 03:04 UTC"),
        ("0123abc", "there", 2, "2026-01-02 03:04 UTC"),
    ]


def test_values_are_listed_or_counted():
    assert methods.values(pl.Series([3.0, 1.5, 3.0])) == "1.5, 3"
    assert methods.values(pl.Series(range(9)), "{}") == "0 to 8 (9 values)"


def test_it_is_said_whether_one_code_made_all_rows(sparse):
    none = sparse.with_columns(code=pl.lit(None, pl.String))
    assert "Rows that do not say which code made them: " in methods.codes(overview(none))
    one = sparse.with_columns(code=pl.lit("aa"))
    assert methods.codes(overview(one)) == "One code made rows: aa."
    some = one.with_columns(code=pl.Series(["bb", None, *one["code"][2:]]))
    assert methods.codes(overview(some)) == (
        "More than one code (2) made rows: aa, bb. Rows that do not say which code made them: 1."
    )
    assert methods.provenance(overview(some))["code"].to_list() == [None, "aa", "bb"]
