"""What holds for every log: reading it never fails, and what the launchers add never hides the cause."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.failing_logs import ABOUT, LAUNCHERS, Sample, samples
from tunekit.diagnosis.diagnose import diagnose
from tunekit.diagnosis.reading import Log

OWN = [sample for sample in samples(*ABOUT) if not sample.whole]
LOGS = [wrap(sample.text, code=sample.code) for sample in OWN for wrap in LAUNCHERS.values()]
NOISE = st.lists(
    st.one_of(
        st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=60),
        st.sampled_from(
            [
                "{'loss': 1.9213, 'grad_norm': 2.1, 'learning_rate': 9.8e-05, 'epoch': 0.02}",
                "[rank7]: Traceback (most recent call last):",
                "Exception ignored in: <function x.__del__>",
                '  File "x.py", line 1, in y',
                "[2026-11-22 10:00:00,100] [INFO] [utils.py:781] x",
                " 10%|#    | 1/10\r 20%|##   | 2/10",
                "Root Cause (first observed failure):",
                "Fatal Python error: ",
            ]
        ),
    ),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(NOISE.map("\n".join), max_size=3))
def test_any_text_can_be_read(texts: list[str]) -> None:
    found = diagnose([Log(name=f"rank_{number}.log", text=text) for number, text in enumerate(texts)])
    assert found.failed or not found.known


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(LOGS), st.integers(0, 4000), st.integers(0, 4000))
def test_a_log_that_was_cut_off_anywhere_can_be_read(text: str, start: int, length: int) -> None:
    found = diagnose([Log(name="train.log", text=text[start : start + length])])
    assert found.cause or not found.failed


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(OWN), st.sampled_from(sorted(LAUNCHERS)), st.integers(0, 1), st.integers(1, 40))
def test_steps_before_the_failure_change_nothing(sample: Sample, launcher: str, rank: int, steps: int) -> None:
    text = LAUNCHERS[launcher](sample.text, code=sample.code, rank=rank)
    before = "{'loss': 1.9213, 'grad_norm': 2.1, 'learning_rate': 9.8e-05, 'epoch': 0.02}\n" * steps
    found = diagnose([Log(name="train.log", text=before + text)])
    assert (found.name, found.rank) == (sample.name, rank)
