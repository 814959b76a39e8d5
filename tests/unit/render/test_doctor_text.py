from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from tests.examining import healthy, with_environ
from tunekit.doctor.examine import examine
from tunekit.launcher.preflight import Fault
from tunekit.render.doctor_text import findings_json, print_findings, summary, warning_line

FAULT = Fault(kind="missing", check="ram", text="this machine has 3.0 GiB of RAM; end what holds the rest.")


def text(findings, about="quickstart"):
    stream = io.StringIO()
    print_findings(Console(file=stream, width=80), findings, about=about, seconds="3 s")
    return stream.getvalue()


@pytest.fixture
def sick():
    return examine(with_environ(healthy(cards=False, faults=(FAULT,)), DEEPSPEED_TIMEOUT="5"))


def test_what_blocks_says_what_why_and_what_to_type(sick):
    lines = text(sick).splitlines()
    start = next(index for index, line in enumerate(lines) if "BLOCKS" in line)
    assert [line.strip() for line in lines[start : start + 4]] == [
        "RAM             BLOCKS   this machine has 3.0 GiB of RAM",
        "The kernel kills what asks for more, mostly while",
        "loading or saving, without a traceback.",
        "→ end what holds the rest",
    ]


def test_good_things_take_one_line(sick):
    lines = text(sick).splitlines()
    (line,) = (line for line in lines if "/dev/shm" in line)
    assert line == "  /dev/shm        ok       48.0 GiB free, 132 MiB needed"
    assert not any(line.endswith(" ") for line in lines)


def test_what_is_not_needed_for_one_reason_stands_together(sick):
    assert "  5 checks        -        no GPU here (CUDA, driver, free memory, kind, power)" in text(sick)


def test_what_it_all_comes_to(sick):
    assert text(sick).splitlines()[-2].startswith("40 checks in 3 s: ")
    said = summary(sick, about="quickstart", seconds="3 s")
    assert "1 warning, 1 blocking" in said
    assert said.endswith("quickstart cannot run here: RAM.")
    fine = examine(healthy(plan=False))
    assert summary(fine, about="", seconds="3 s").endswith("Nothing stops training here.")


def test_words_of_the_machine_are_no_markup():
    finding = replace(examine(healthy())[0], found="[bold]Python[/bold] [/]")
    assert "[bold]Python[/bold] [/]" in text((finding,))


def test_json_says_the_same(sick):
    tree = json.loads(json.dumps(findings_json(sick, about="quickstart")))
    assert (tree["format_version"], tree["about"], tree["blocks"]) == (1, "quickstart", ["ram"])
    assert len(tree["findings"]) == 40
    (ram,) = (finding for finding in tree["findings"] if finding["check"] == "ram")
    assert ram == {
        "check": "ram",
        "group": "host memory",
        "title": "RAM",
        "state": "blocks",
        "found": "this machine has 3.0 GiB of RAM",
        "why": "The kernel kills what asks for more, mostly while loading or saving, without a traceback.",
        "cure": "end what holds the rest",
        "blocks": True,
    }


def test_one_line_for_a_launch(sick):
    (finding,) = (finding for finding in sick if finding.check == "stray_variables")
    assert warning_line(finding).startswith("Warning: variables: DEEPSPEED_TIMEOUT=5 minutes end a run")
    assert warning_line(finding).endswith("; unset DEEPSPEED_TIMEOUT")
