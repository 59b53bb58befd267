"""Imports point one way, and the light commands stay light."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rotgrid.spec import sources

ROOT = Path(__file__).parent.parent
ORDER = [
    "console",
    "spec",
    "grid",
    "make_data",
    "results",
    "cost",
    "data",
    "device",
    "rotation",
    "models",
    "attacks",
    "deadline",
    "training",
    "evaluation",
    "experiment",
    "pictures",
    "gallery",
    "preflight",
    "check",
    "fanout",
    "compact",
    "todo",
    "arguments",
    "plan_table",
    "redrawing",
    "launch",
    "watching",
    "status",
    "__main__",
]
"""The modules and packages of rotgrid; each imports only from those before it."""
BELOW = {
    "rows": (),
    "stats": ("rows",),
    "claims": ("rows", "stats"),
    "question": ("rows", "stats"),
    "figures": ("rows", "stats", "question"),
    "report": ("rows", "stats", "claims", "question", "figures"),
    "explorer": ("rows", "stats", "claims", "question", "figures", "report"),
}
"""The packages of analysis, and of which others each may import."""
WITHOUT_ALTAIR = ("rows", "stats", "claims", "question")


def imported(path):
    """Names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module in ("rotgrid", "analysis"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def files(package):
    return [path for path in (ROOT / package).rglob("*.py")]


def test_every_module_is_in_the_order():
    tops = {
        path.relative_to(ROOT / "rotgrid").parts[0].removesuffix(".py")
        for path in files("rotgrid")
    }
    assert tops - {"__init__"} == set(ORDER)


@pytest.mark.parametrize("path", files("rotgrid"), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_only_upward(path):
    own = path.relative_to(ROOT / "rotgrid").parts[0].removesuffix(".py")
    allowed = set(ORDER[: ORDER.index(own) + 1]) if own in ORDER else set()
    for name in imported(path):
        package, _, module = name.partition(".")
        if package == "rotgrid":
            assert module.split(".")[0] in allowed | {""}, f"{own} imports {name}"
        if package == "analysis":
            assert own == "launch"


def test_no_own_module_may_be_named_as_what_is_imported():
    paths = files("rotgrid") + files("analysis")
    tops = {name.partition(".")[0] for path in paths for name in imported(path)}
    assert tops - set(sys.stdlib_module_names) == {*sources.NEEDED, *sources.NOT_OWN}


def test_one_package_imports_ray():
    users = {path.parent.name for path in files("rotgrid") + files("analysis")
             if any(name.split(".")[0] == "ray" for name in imported(path))}  # fmt: skip
    assert users == {"fanout"}


def test_analysis_uses_only_the_light_modules():
    for path in files("analysis"):
        for name in imported(path):
            if name.startswith("rotgrid"):
                assert name.split(".")[1] in (
                    "spec",
                    "grid",
                    "results",
                    "console",
                    "__version__",
                ), (path, name)
            assert name.split(".")[0] not in ("torch", "ray")


def packages_of_analysis(path):
    """The packages of analysis that a file imports from; `__main__` and the like by their name."""
    for name in imported(path):
        top, *inside = name.split(".")
        if top == "analysis":
            yield inside[0] if inside else "__init__"


def test_every_package_of_analysis_has_its_place():
    folders = {path.parent.name for path in files("analysis")} - {"analysis"}
    assert folders == set(BELOW)
    tops = {path.name for path in (ROOT / "analysis").glob("*.py")}
    assert tops == {"__init__.py", "__main__.py"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    installed = set(project["tool"]["setuptools"]["packages"])
    assert {f"analysis.{package}" for package in BELOW} <= installed


@pytest.mark.parametrize("path", files("analysis"), ids=lambda p: str(p.relative_to(ROOT)))
def test_packages_of_analysis_import_only_from_those_below(path):
    own = path.parent.name
    if own in BELOW:
        assert set(packages_of_analysis(path)) <= {own, *BELOW[own]}


def modules(package):
    """The names of the modules of a package of analysis."""
    for path in files(f"analysis/{package}"):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_rows_statistics_and_claims_do_without_altair():
    every = [name for package in WITHOUT_ALTAIR for name in modules(package)]
    assert "altair" not in loaded(f"import analysis, {', '.join(every)}")
    assert "altair" in loaded("import analysis.figures.registry")


def test_no_module_of_analysis_is_called_like_another_thing():
    """Neither like a module of the standard library, nor like a function of the package that it
    does not define."""
    import analysis

    names = {path.stem for path in files("analysis")} - {"__init__", "__main__"}
    assert not names & sys.stdlib_module_names
    for name in names & set(analysis.__all__):
        assert getattr(analysis, name).__module__.endswith(f".{name}")


def loaded(code):
    """Which heavy packages are loaded after some code has run in a fresh process."""
    heavy = {"torch", "ray", "scipy", "polars", "pandas", "altair"}
    probe = f"import sys\n{code}\nprint(*{heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.splitlines()[-1].split())


def test_plan_and_help_load_nothing_heavy(tmp_path):
    plan = f"launch.main(['grids/quick.yaml', '--plan', '--results', {str(tmp_path)!r}])"
    assert loaded(f"from rotgrid import launch; {plan}") == set()
    assert loaded("from rotgrid import status") == set()
    assert loaded("from rotgrid import compact") == set()
    assert "torch" in loaded("from rotgrid import data")


def test_analysis_loads_neither_torch_nor_ray():
    assert loaded("import analysis, analysis.__main__") & {"torch", "ray"} == set()


def test_an_unrelated_package_is_no_dependency():
    """PyPI's groupy is a client of a permission server."""
    assert "groupy" not in (ROOT / "pyproject.toml").read_text().lower()
