import polars as pl

from analysis.figures import tooltips

DATA = pl.DataFrame(
    {
        "model": ["gcnn", "gcnn"],
        "variant": ["table1", "table1"],
        "attack": ["fgsm", "pgd"],
        "eps": [0.1, 0.1],
        "accuracy": [0.9123, 1.0],
        "accuracy_min": [0.9, 1.0],
        "accuracy_max": [0.95, 1.0],
        "lower": [0.8999, None],
        "upper": [0.921, 1.0],
        "error": [12.3456, -0.0],
        "error_min": [0.012345, 0.0],
        "error_max": [100.0, 0.0],
        "seeds": [3, 1],
        "n": [1000, 500],
        "flags": ["", None],
    }
)


def titles(fields):
    return [field["title"] for field in fields]


def test_a_measure_and_its_range_are_one_field():
    texts = tooltips.with_texts(DATA)
    assert texts["_accuracy"].to_list() == ["91.2% (90% to 92.1%)", "100%"]
    assert texts["_error"].to_list() == ["12.3 (0.0123 to 100)", "0"]
    assert texts["_n"].to_list() == ["3; 1000", "1; 500"]
    assert texts.select("_model", "_attack").row(1) == ("GCNN", "PGD")
    both = DATA.rename({c: f"robust_{c}" for c in ("accuracy", "lower", "upper", "n", "seeds")})
    both = both.rename({f"accuracy_{end}": f"robust_accuracy_{end}" for end in ("min", "max")})
    texts = tooltips.with_texts(both)
    assert texts["_robust_accuracy"].to_list() == ["91.2% (90% to 92.1%)", "100%"]
    assert texts["_robust_n"].to_list() == ["3; 1000", "1; 500"]
    assert tooltips.title("_robust_accuracy") == "Under attack: Accuracy (95% interval)"


def test_fields_that_are_the_same_everywhere_are_not_said():
    fields = tooltips.tooltip(DATA, ["model", "variant", "attack", "eps"], ["accuracy", "error"])
    assert titles(fields) == [
        "Model",
        "Attack",
        "eps (in eps_unit)",
        "Accuracy (95% interval)",
        "Equivariance error of the logits (least to greatest seed)",
        "Seeds; images of each network",
    ]


def test_variants_are_said_where_a_model_has_several():
    models = pl.Series("model", ["gcnn", "stdcnn"])
    variants = pl.Series("variant", ["table1", "doubled"])
    own = DATA.with_columns(models, variants)
    assert "Variant" not in titles(tooltips.tooltip(own, ["model", "variant"]))
    assert "Variant" in titles(tooltips.tooltip(DATA.with_columns(variants), ["model", "variant"]))


def test_of_many_conditions_the_first_are_said_and_every_measure():
    failed = DATA.with_columns(flags=pl.lit("repeat"))
    many = [f"train_{index}" for index in range(9)]
    fields = tooltips.tooltip(failed.with_columns(pl.lit(0).alias(c) for c in many), many)
    assert len(fields) == tooltips.MOST == 8
    assert titles(fields)[-3:] == [
        "Accuracy (95% interval)",
        "Seeds; images of each network",
        "Failed checks",
    ]
