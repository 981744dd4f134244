"""Every input a person can give a run, declared once.

The command line, the Makefile, what a run's folder remembers and the tables of the documentation are made of
`INPUTS`. To add an input, add a line here; where a stage asks for it by name, add how it is opened to
`pipeline.sources`. This module needs nothing but Python, so that `make help` works before anything is installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Forgets a remembered input: an empty text means "as last time".
FORGET = "none"


@dataclass(frozen=True)
class Input:
    """One input.

    name: of the option (``--camera-labels``) and of the variable of make (CAMERA_LABELS), written as ``camera_labels``.
    remembered: kept in the run folder's ``request.json``, so that a later command need not name it again.
    feeds: sources that stages ask for and that are opened from it, see `pipeline.sources`.
    setting: the setting it is another name for, as section.key.
    flag: it has no value, it is given or not.
    repeated: it may be given several times.
    steps: it says which steps run, so only `run`, `plan` and `status` have it.
    """

    name: str
    help: str
    metavar: str = "NAME"
    remembered: bool = False
    feeds: tuple[str, ...] = ()
    setting: str = ""
    flag: bool = False
    repeated: bool = False
    steps: bool = False

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return self.name.upper()


def _remembered(name: str, metavar: str, help: str, *feeds: str) -> Input:
    return Input(name, help, metavar, remembered=True, feeds=feeds)


def _step(name: str, metavar: str, help: str) -> Input:
    return Input(name, help, metavar, steps=True)


INPUTS = (
    Input("run", "folder of the run, e.g. runs/market", "FOLDER"),
    _remembered("videos", "PATH", "folder, glob, list file or topology YAML", "videos", "site"),
    _remembered("topology", "FILE", "site file; 'none' forgets the remembered one", "site"),
    _remembered("detector", "PATH", "YOLO weights, or a folder of precomputed detections", "detector"),
    _remembered("backbone", "NAME", "osnet_x0_25 … osnet_x1_0, or any timm model", "backbone"),
    _remembered("weights", "PATH", "start weights, or 'random', or 'pretrained' (timm)", "weights"),
    _remembered(
        "model", "FOLDER", "a finished run whose network is used as it is, and whose people are known",
        "gallery", "backbone", "weights",
    ),
    _remembered(
        "ground_truth", "FOLDER", "folder of MOT text files, for evaluation only; 'none' forgets it", "ground_truth"
    ),
    _remembered(
        "camera_labels", "FOLDER",
        "folder of MOT text files that tell people apart inside each camera, for training; 'none' forgets it",
        "camera_labels",
    ),
    _remembered("config", "FILE", "YAML file of settings that differ, or the name of one of ours"),
    _remembered("dataset", "NAME", "a published benchmark in place of footage; 'none' forgets it", "dataset"),
    _remembered(
        "source", "NAME", "a published benchmark whose labels train a start for other runs' WEIGHTS", "dataset"
    ),
    _remembered("root", "FOLDER", "the folder that benchmark was unpacked to", "dataset"),
    _remembered("trial", "NUMBER", "which of its random halves, from 0", "dataset"),
    Input("set", "section.key=value; may be repeated", "KEY=VALUE", repeated=True),
    Input("privacy", "blur hides heads in the report", setting="report.privacy"),
    Input("method", "re-ID method", setting="run.method"),
    Input("device", "auto, cpu, cuda, cuda:1, mps", feeds=("device",), setting="run.device"),
    Input(
        "camera", "only these cameras, separated by commas; 'all' for all of them again", "NAMES",
        setting="ingest.cameras",
    ),
    Input("keep_going", "when one video fails, finish the others before stopping", flag=True),
    _step("until", "STAGE", "last stage to run; default: the whole chain"),
    _step("round", "NUMBER", "last round, when --until is associate or train"),
    _step("force", "STAGES", "stages to run again, separated by commas"),
    _step("from", "STAGE", "run again from this stage on"),
    Input("supervised", "also train the supervised reference", flag=True, steps=True),
    Input("strict", "stop after ingest where a file is not whole", flag=True, steps=True),
)  # fmt: skip

# Read by the Makefile itself, or by one library, and no option of a run.
_OF_MAKE = {
    "ZIP": "1 packs the report into one file",
    "IDENTITY": 'numbers of people, for make purge: IDENTITY="7 12"',
    "PORT": "of the page that make annotate opens",
    "RUNS": "two folders, for make compare",
    "DECODE": "decoder of videos: cuda, qsv …; default: the processor",
}

REMEMBERED = tuple(found.name for found in INPUTS if found.remembered)


def from_environment(environment: Mapping[str, str], inputs: Iterable[Input]) -> list[str]:
    """The options that say what the variables of an environment say (VIDEOS=x is ``--videos=x``); empty ones are left out."""
    given = [(found, environment.get(found.variable, "")) for found in inputs]
    return [found.option if found.flag else f"{found.option}={text}" for found, text in given if text]


def make_help() -> str:
    """The variables of make, a line each."""
    lines = {found.variable: found.help for found in INPUTS} | _OF_MAKE
    return "\n".join(f"  {name:<14} {text}" for name, text in lines.items())


def as_markdown() -> str:
    """The inputs as a table, for the documentation."""
    rows = ["| option | make | meaning | remembered | feeds |", "|---|---|---|---|---|"]
    for found in INPUTS:
        feeds = ", ".join(f"`{name}`" for name in found.feeds)
        kept = "yes" if found.remembered else ""
        rows.append(f"| `{found.option}` | `{found.variable}` | {found.help} | {kept} | {feeds} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(make_help())
