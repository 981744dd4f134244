"""The allowed arrows between our packages, held by walking the imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pipeline", "stages", "camera_topology", "data")
CONTRACTS = tuple(
    f"pipeline.{name}"
    for name in ("stage", "manifests", "schema", "shards", "progress", "errors", "digest", "yaml_text")
)
FILES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Our own modules that a file imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.split(".")[0] in PACKAGES and is_module(name)}


def is_module(name: str) -> bool:
    return (ROOT / (name.replace(".", "/") + ".py")).is_file()


def allowed(path: Path) -> tuple[str, ...]:
    """Prefixes of the modules that a file may import."""
    relative = path.relative_to(ROOT)
    match relative.parts:
        case ("camera_topology", *_):
            return ("camera_topology", "pipeline.errors", "pipeline.text_file", "pipeline.yaml_text")
        case ("data", *_):
            return ("data", *CONTRACTS)
        case ("pipeline", "sources.py"):
            return ("pipeline", "camera_topology", "data")
        case ("pipeline", "cli.py" | "commands.py" | "opening.py"):
            # Commands on a finished run, and what must be checked before hours are spent.
            finished = (
                "stages.evaluation.text_table",
                "stages.evaluation.compare",
                "stages.annotation.annotate",
                "stages.search.query",
                "stages.reporting.archive",
                "stages.recording.names",
                "stages.topology.site_commands",
            )
            return ("pipeline", "stages.network.backbone", *finished)
        case ("pipeline", "purge.py"):  # removes pictures of people, and must know where they stood
            return ("pipeline", "data.redaction_list", "data.redaction")
        case ("pipeline", *_):
            return ("pipeline",)
        case _:
            return ("stages", "camera_topology", "data", *CONTRACTS)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_arrows(path):
    for name in imports(path):
        assert any(name == prefix or name.startswith(prefix + ".") for prefix in allowed(path)), name


def test_no_method_imports_another():
    for path in (ROOT / "stages" / "methods").glob("*.py"):
        if path.name == "pul.py":  # by its own paper a part of the other
            continue
        assert not {n for n in imports(path) if n.startswith("stages.methods.")}, path


def test_truth_is_read_only_where_it_may_be():
    readers = {
        "stages/ground_truth.py",
        "stages/evaluate.py",
        "stages/supervised.py",
        "stages/export.py",  # the model card checks its probabilities
        "pipeline/manifests.py",
    }
    for path in FILES:
        relative = str(path.relative_to(ROOT))
        if not relative.startswith("stages/evaluation/") and relative not in readers:
            assert "GROUND_TRUTH" not in names(path), f"{relative} reads the truth"


def names(path: Path) -> set[str]:
    return {
        node.id
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name)
    }


def test_a_cached_run_imports_nothing_heavy():
    heavy = ("torch", "ultralytics", "cv2", "av", "sklearn", "matplotlib", "scipy", "openvino")
    code = (
        "import sys; from pipeline import graph, __main__; graph.build('tastr', 5, optional=graph.OPTIONAL);"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
