"""The allowed arrows between our packages, held by walking the imports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pipeline", "stages", "camera_topology", "data")
CONTRACTS = ("pipeline.stage", "pipeline.manifests", "pipeline.schema", "pipeline.errors")


def imports(path: Path) -> set[str]:
    """Dotted names of our own modules that a file imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] in PACKAGES}


FILES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))


def allowed(path: Path) -> tuple[str, ...]:
    relative = path.relative_to(ROOT)
    package = relative.parts[0]
    if package == "camera_topology":
        return ("camera_topology", "pipeline.errors", "pipeline")
    if package == "data":
        return ("data", *CONTRACTS, "pipeline")
    if package == "pipeline":
        own = {
            "sources.py": ("camera_topology", "data"),
            "__main__.py": ("stages.evaluation.table", "stages.evaluation", "stages"),
        }
        return ("pipeline", *own.get(relative.name, ()))
    if len(relative.parts) > 2 and relative.parts[1] == "methods":
        return ("stages.reid", "stages.methods", "camera_topology", "data", *CONTRACTS, "stages", "pipeline")
    return ("stages", "camera_topology", "data", *CONTRACTS, "pipeline")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_arrows(path):
    rules = allowed(path)
    for name in imports(path):
        exact = name in rules
        below = any(
            name.startswith(rule + ".")
            for rule in rules
            if rule not in ("pipeline", "stages") or (path.parts[-2] == "pipeline" and rule == "pipeline")
        )
        stage_toolbox = (
            name.startswith("stages.") and "stages" in rules and path.relative_to(ROOT).parts[0] == "stages"
        )
        contract = any(name.startswith(c) for c in CONTRACTS if c in rules)
        assert exact or below or stage_toolbox or contract, f"{path.relative_to(ROOT)} must not import {name}"


def test_no_method_imports_another():
    for path in (ROOT / "stages" / "methods").glob("*.py"):
        others = {n for n in imports(path) if n.startswith("stages.methods.")}
        assert all(n.split(".")[2] in ("Footage", "Method", "METHODS", "load") for n in others), path


def test_truth_is_read_only_where_it_may_be():
    readers = {
        "stages/ground_truth.py",
        "stages/evaluate.py",
        "stages/supervised.py",
        "pipeline/manifests.py",
    }
    for path in FILES:
        relative = str(path.relative_to(ROOT))
        names = {n for n in imports(path) if n.endswith((".GROUND_TRUTH", ".PEOPLE"))}
        if names and not relative.startswith("stages/evaluation/"):
            assert relative in readers, f"{relative} reads the truth"


def test_a_cached_run_imports_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys; from pipeline import graph, __main__; graph.build('tastr', 5, supervised=True);"
        "print([m for m in ('torch', 'ultralytics', 'cv2', 'av', 'sklearn', 'matplotlib', 'scipy') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
