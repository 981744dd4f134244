"""The options of the command line, and how they become calls of `pipeline.commands`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pipeline import commands
from pipeline.inputs import INPUTS, Input, from_environment
from pipeline.request import Asked
from pipeline.steps import Steps

DESCRIPTION = """Raw camera footage in, a person re-identification model out.

The Makefile calls this; everything it can do, a person can do without make.
"""

Command = Callable[[argparse.Namespace], None]

# Adds a command with its help text, and returns its parser for more options.
_Add = Callable[[str, Command, str], argparse.ArgumentParser]

_FROM_ENVIRONMENT = "--from-environment"
_OF_STEPS = ("run", "plan", "status")
_OF_REQUEST = (*_OF_STEPS, "names", "explain")


def options_of(arguments: list[str], environment: Mapping[str, str]) -> argparse.Namespace:
    """The options of a command line; ``command`` in them is what to call with them."""
    return parser().parse_args(_expanded(arguments, environment))


def _expanded(arguments: list[str], environment: Mapping[str, str]) -> list[str]:
    """The arguments with ``--from-environment`` replaced by what the variables say; options after it win."""
    if not arguments or arguments[0] not in _OF_REQUEST or _FROM_ENVIRONMENT not in arguments:
        return arguments
    at = arguments.index(_FROM_ENVIRONMENT)
    found = from_environment(environment, _inputs_of(arguments[0]))
    return [*arguments[:at], *found, *arguments[at + 1 :]]


def _inputs_of(command: str) -> list[Input]:
    return [found for found in INPUTS if command in _OF_STEPS or not found.steps]


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    top = argparse.ArgumentParser(
        prog="trackweave", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    group = top.add_subparsers(required=True, metavar="COMMAND")
    add = partial(_add_command, group)
    _add_chain(add)
    _add_reading(add)
    _add_finished_run(add)
    _add_search(add)
    _add_topology(group)
    add("doctor", lambda options: commands.doctor(), "say what this machine has and what is slow on it")
    return top


def _add_command(group: Any, name: str, command: Command, text: str) -> argparse.ArgumentParser:
    sub: argparse.ArgumentParser = group.add_parser(name, help=text, description=text)
    sub.set_defaults(command=command)
    return sub


def _add_inputs(sub: argparse.ArgumentParser, command: str) -> None:
    """The inputs of a run as options."""
    for found in _inputs_of(command):
        if found.flag:
            sub.add_argument(found.option, action="store_true", help=found.help)
        elif found.repeated:
            sub.add_argument(
                found.option, action="append", default=[], metavar=found.metavar, help=found.help
            )
        elif found.name == "run":
            required = command in _OF_STEPS
            sub.add_argument("--run", required=required, type=Path, metavar=found.metavar, help=found.help)
        else:
            sub.add_argument(found.option, default="", metavar=found.metavar, help=found.help)
    text = "take the inputs from the variables of the environment that have their names, as make does"
    sub.add_argument(_FROM_ENVIRONMENT, action="store_true", help=text)


def _asked(options: argparse.Namespace) -> Asked:
    """The inputs among the options."""
    given = vars(options)
    values = {found.name: given.get(found.name) for found in INPUTS}
    return Asked(
        values={name: value for name, value in values.items() if isinstance(value, str)},
        sets=tuple(options.set),
        supervised=bool(given.get("supervised")),
        keep_going=options.keep_going,
    )


def _steps(options: argparse.Namespace) -> Steps:
    return Steps(options.until, options.round, options.force, getattr(options, "from"))


def _add_chain(add: _Add) -> None:
    chain: tuple[tuple[str, Command, str], ...] = (
        (
            "run",
            lambda o: commands.run(o.run, _asked(o), _steps(o), o.strict),
            "run what is stale, up to a stage",
        ),
        (
            "plan",
            lambda o: commands.plan(o.run, _asked(o), _steps(o)),
            "print what would run, and why; run nothing",
        ),
        (
            "status",
            lambda o: commands.status(o.run, _asked(o), _steps(o)),
            "print each stage as fresh, stale, missing or failed, with the reason",
        ),
    )
    for name, command, text in chain:
        _add_inputs(add(name, command, text), name)


def _add_reading(add: _Add) -> None:
    sub = add(
        "names",
        lambda o: commands.names(o.run, _asked(o)),
        "print what each file is taken for: camera, start, and what told it",
    )
    _add_inputs(sub, "names")
    sub = add(
        "explain",
        lambda o: commands.explain(o.what, o.run, _asked(o)),
        "walk a table, a tracklet or a person back to video and frame",
    )
    sub.add_argument(
        "what", help="a Parquet file, a tracklet's id, identity:7, a stage, or a node such as train@2"
    )
    _add_inputs(sub, "explain")
    sub = add(
        "describe",
        lambda o: commands.describe(o.what, o.method),
        "print the tables, settings or inputs as Markdown",
    )
    sub.add_argument("what", choices=["tables", "settings", "inputs"], nargs="?", default="tables")
    sub.add_argument("--method", default="weave")


def _add_finished_run(add: _Add) -> None:
    sub = add("metrics", lambda o: commands.metrics(o.run, o.json), "print the measures of a finished run")
    sub.add_argument("--run", required=True, type=Path)
    sub.add_argument("--json", action="store_true", help="one JSON object with stable keys")
    sub = add(
        "compare",
        lambda o: commands.compare(o.runs[0], o.runs[1], o.json),
        "two finished runs side by side, with differences and intervals",
    )
    sub.add_argument("runs", nargs=2, type=Path, help="the two folders")
    sub.add_argument("--json", action="store_true", help="one JSON object")
    sub = add(
        "zip",
        lambda o: commands.zip_report(o.run),
        "pack the report of a finished run into one file, to pass on",
    )
    sub.add_argument("--run", required=True, type=Path)
    sub = add("purge", _purge, "remove every picture, feature and clip of a run, or of some people for good")
    sub.add_argument("--run", required=True, type=Path)
    sub.add_argument(
        "--identity", nargs="*", default=[], help="numbers of people, as in the report; none: everybody"
    )
    sub = add(
        "annotate",
        lambda o: commands.annotate(o.run, o.port, o.export),
        "a page on this machine that asks which pairs are one person: to measure, and to teach",
    )
    sub.add_argument("--run", required=True, type=Path)
    sub.add_argument("--port", type=int, default=8765, help="0 takes a free one")
    sub.add_argument("--export", type=Path, help="write the answers given so far as CSV, and end")


def _purge(options: argparse.Namespace) -> None:
    from pipeline.purge import purge

    purge(options.run, options.identity)


def _add_search(add: _Add) -> None:
    sub = add("embed", _query("embed"), "write the features of pictures, by a finished run's network")
    sub.add_argument("images", nargs="+", help="pictures of one person each: files, folders, globs")
    sub.add_argument("--run", required=True, type=Path)
    sub.add_argument("--out", type=Path, default=Path("features.parquet"))
    sub.add_argument("--device", default="auto")
    sub = add("search", _query("search"), "who is this, where and when: look a person up in a finished run")
    sub.add_argument("query", nargs="+", help="a picture of one person, or several of the same")
    sub.add_argument("--run", required=True, type=Path)
    sub.add_argument("--count", type=int, default=10, help="people shown")
    sub.add_argument("--blur", action="store_true", help="hide heads on the contact sheet")
    sub.add_argument("--device", default="auto")
    sub.add_argument("--json", action="store_true", help="one JSON object")


def _query(name: str) -> Command:
    """`embed` or `search` of `stages.search.query`, on a device that was seen to work."""

    def command(options: argparse.Namespace) -> None:
        from pipeline.opening import usable_device
        from stages.search import query

        options.device = usable_device(options.device)
        {"embed": query.embed, "search": query.search}[name](options)

    return command


def _add_topology(group: Any) -> None:
    text = "a site file begun, checked, and held against what people did"
    topics = group.add_parser("topology", help=text).add_subparsers(required=True, metavar="TOPIC")
    add = partial(_add_command, topics)
    sub = add("init", _site_file("init"), "print a site file to begin with, from folders and names")
    sub.add_argument("--videos", required=True, help="folder, glob or list file")
    sub.add_argument("--timezone", default="UTC", help="IANA name, for times without a zone")
    text = "check a site file: errors with line and column, and what looks wrong"
    add("validate", _site_file("validate"), text).add_argument("file", type=Path)
    add("schema", _site_file("schema"), "print the JSON Schema of site files, for editors")
    text = "camera layouts that others publish into a site file (printed), or the other way"
    sub = add("convert", _site_file("convert"), text)
    sub.add_argument("path", type=Path, help="file or folder of the format; with --to a site file")
    text = "vehicle_mtmc, nvidia, aicity or wildtrack; else guessed"
    sub.add_argument("--from", dest="from_", default="", help=text)
    sub.add_argument("--to", default="", help="one of these formats")
    sub.add_argument("--out", type=Path, help="file or folder that --to writes")
    for topic, text in (
        ("learn", "clocks and ways by the people of a finished run, and a patch to read"),
        ("show", "a page of it: map, ways with expected and observed times, clocks that look wrong"),
    ):
        sub = add(topic, partial(_topology_of_run, topic), text)
        sub.add_argument("--run", required=True, type=Path)


def _topology_of_run(topic: str, options: argparse.Namespace) -> None:
    commands.topology_of_run(topic, options.run)


def _site_file(topic: str) -> Command:
    """A topic of `stages.topology.site_commands` that needs no run."""

    def command(options: argparse.Namespace) -> None:
        from stages.topology import site_commands as topology

        topics: dict[str, Command] = {
            "init": topology.init,
            "validate": topology.validate,
            "schema": topology.schema,
            "convert": topology.convert,
        }
        topics[topic](options)

    return command
