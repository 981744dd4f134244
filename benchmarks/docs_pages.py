"""The documentation's generated pages: every option, setting and table, as the code declares them.

    python -m benchmarks.docs_pages          writes docs/options.md, docs/settings.md and docs/tables.md

`make docs` calls it, so the pages cannot fall behind the code.
"""

from __future__ import annotations

from pathlib import Path

from pipeline import config, graph, inputs
from pipeline.manifests import ALL

DOCS = Path(__file__).resolve().parents[1] / "docs"
METHODS = ("weave", "tastr", "dal", "race", "reliable_soft", "pul", "tmc")


def settings_page() -> str:
    """Settings of all stages, then those of `associate` and `train` that each method has for its own."""
    lines = [
        "# Every setting",
        "",
        'Set them with `SET="section.name=value"` or in a YAML file named by `CONFIG`.',
        "",
    ]
    lines += [config.describe({"run": config.RunSettings, **graph.sections("weave")}), ""]
    for method in METHODS[1:]:
        own = {name: part for name, part in graph.sections(method).items() if name in graph.ROUND}
        lines += [f"## With METHOD={method}", "", config.describe(own), ""]
    return "\n".join(lines)


def tables_page() -> str:
    """Each manifest with its columns."""
    lines = [
        "# Every table",
        "",
        "Times are UTC in microseconds since 1970. Boxes are in pixels of the original frame.",
    ]
    for manifest in ALL:
        lines += ["", f"## {manifest.name}", "", f"{manifest.doc} Version {manifest.version}.", ""]
        lines += ["| column | type | unit | meaning |", "|---|---|---|---|"]
        for column in manifest.columns:
            key = " (key)" if column.name in manifest.key else ""
            lines.append(f"| `{column.name}`{key} | {column.type} | {column.unit} | {column.doc} |")
    return "\n".join([*lines, ""])


def options_page() -> str:
    """What a person can give a run: options of `trackweave run`, variables of make."""
    about = (
        "Give them to make as `NAME=value`, or to `trackweave run` as `--name value`. A run remembers most of them, so a "
        "later command needs only `RUN`. The value `none` makes a run forget one."
    )
    return f"# Options\n\n{about}\n\n{inputs.as_markdown()}\n"


def main() -> None:
    (DOCS / "options.md").write_text(options_page(), encoding="utf-8")
    (DOCS / "settings.md").write_text(settings_page(), encoding="utf-8")
    (DOCS / "tables.md").write_text(tables_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
