from analysis.rows.notes import LeftOut, OtherVariants


def test_rows_left_out_are_told_by_what_they_differ_in():
    one = LeftOut(1, {"attack": "pgd"}, {"steps": 40, "eps": 0.1}, {"steps": 10, "eps": 0.3})
    assert str(one) == (
        "Shown (attack pgd): steps 40, eps 0.1. Left out: 1 row with steps 10, eps 0.3."
    )
    assert str(LeftOut(2, {}, {"loss": "ce"}, {"loss": "margin"})) == (
        "Shown: loss ce. Left out: 2 rows with loss margin."
    )


def test_other_variants_say_why_the_first_are_not_shown():
    missing = OtherVariants({"hnet": "2018", "stdcnn": "doubled"}, {})
    assert str(missing) == (
        "Variants shown: hnet 2018 and stdcnn doubled; the first variants were not measured."
    )
    both = OtherVariants({"hnet": "2018", "capsnet": "narrow"}, {"capsnet": "table"})
    assert str(both) == (
        "Variants shown: hnet 2018 and capsnet narrow; the first variants were not measured and "
        "of capsnet table less than half as much was measured."
    )
    sparse = both.of_models({"capsnet"})
    assert str(sparse) == (
        "Variants shown: capsnet narrow; of capsnet table less than half as much was measured."
    )
    assert both.of_models({"gcnn"}).variants == {}
