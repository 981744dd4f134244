"""Nothing answered is ever lost, and what was taken back no longer stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.pair_annotations import PairAnnotation, answer, links, read, undo
from pipeline.errors import UserError


def said(kind: str, a: str, b: str, what: str) -> PairAnnotation:
    return PairAnnotation(kind, a, b, what)


def test_answers_stand_until_they_are_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "annotations" / "answers.jsonl"
    assert read(path) == [] and links(path) == [] and undo(path) is False and not path.exists()
    first, second = said("probe", "a", "b", "same"), said("link", "a", "c", "different")
    answer(path, first)
    answer(path, second)
    answer(path, said("link", "a", "c", "same"))  # thought better of it
    answer(path, said("link", "b", "c", "unsure"))
    assert read(path) == [first, said("link", "a", "c", "same"), said("link", "b", "c", "unsure")]
    assert links(path) == [("a", "c", True)]  # neither the probe nor what nobody could say
    assert undo(path) and undo(path)
    assert read(path) == [first, second] and links(path) == [("a", "c", False)]
    assert len(path.read_text().splitlines()) == 6  # all of it is still in the file


@given(
    st.lists(
        st.one_of(
            st.none(),
            st.tuples(
                st.sampled_from(["probe", "link"]), st.integers(0, 3), st.sampled_from(["same", "different"])
            ),
        ),
        max_size=20,
    )
)
def test_undo_is_a_stack(steps: list[tuple[str, int, str] | None]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "answers.jsonl"
        stack: list[PairAnnotation] = []
        for step in steps:
            if step is None:
                assert undo(path) == bool(stack)
                stack = stack[:-1]
            else:
                stack.append(said(step[0], f"t{step[1]}", "z", step[2]))
                answer(path, stack[-1])
        assert read(path) == list({j[:3]: j for j in stack}.values())


def test_a_torn_last_line_costs_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    answer(path, said("link", "a", "b", "same"))
    whole = path.read_bytes()
    for length in range(1, len(whole) - 1):
        path.write_bytes(whole + whole[:length])
        assert read(path) == [said("link", "a", "b", "same")]
    path.write_bytes(whole + whole[:20])
    answer(path, said("link", "a", "c", "same"))
    with pytest.raises(UserError, match=r"answers\.jsonl: line 2 is no answer"):
        read(path)  # damage in the middle is said, not passed over


@pytest.mark.parametrize(
    "wrong",
    [
        ("maybe", "a", "b", "same"),
        ("link", "a", "b", "yes"),
        ("link", "b", "a", "same"),
        ("link", "a", "a", "same"),
    ],
)
def test_no_other_answers_are_taken(tmp_path: Path, wrong: tuple[str, str, str, str]) -> None:
    with pytest.raises(ValueError, match="no judgement"):
        answer(tmp_path / "x", PairAnnotation(*wrong))
    path = tmp_path / "by-hand"
    path.write_text(json.dumps(PairAnnotation(*wrong)._asdict()) + "\n\n")
    with pytest.raises(UserError, match="line 1 is no answer"):
        read(path)
