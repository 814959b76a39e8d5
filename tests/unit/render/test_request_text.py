from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.plans import make_caller, make_plan
from tunekit.backends.session import Before
from tunekit.launcher.build import Attempt, build_request
from tunekit.launcher.run_dir import RunDir
from tunekit.render.request_text import before_lines, print_request, request_json

RUN = RunDir(Path("/work/runs/tiny"))


@pytest.fixture
def request_of_plan():
    return build_request(
        make_plan(), recipe_text="a: 1\n", run_dir=RUN, caller=make_caller(), attempt=Attempt(master_port=29511)
    )


def test_all_of_it_is_printed(request_of_plan):
    output = io.StringIO()
    print_request(Console(file=output, width=100), make_plan(), request_of_plan, RUN, Before(ops=("cpu_adam",)))
    text = output.getvalue()
    assert text.startswith("Would be started\n"), "the user named the port"
    for part in (
        "  cd /home/user/work\n  /venv/bin/deepspeed \\\n    -H /dev/null \\\n    --num_gpus 2 \\\n",
        "  DS_ACCELERATOR=cpu\n",
        "CUDA_VISIBLE_DEVICES",
        '"train_micro_batch_size_per_gpu": 1',
        "  recipe.yaml           5 B\n",
        "  compile DeepSpeed's cpu_adam, once for the machine\n",
        "Would be written to /work/runs/tiny\n",
        "Dry run: nothing was started and nothing was written.\nSo the command above cannot be typed as it stands: ",
    ):
        assert part in text
    assert all(Path(path).name in text for path in request_of_plan.files)


def test_the_json_holds_the_texts(request_of_plan):
    tree = request_json(make_plan(), request_of_plan, RUN, Before(fetch_bytes=7, convert="x.gguf"))
    assert json.loads(json.dumps(tree)) == tree
    assert tree["argv"] == list(request_of_plan.argv)
    assert tree["files"]["recipe.yaml"] == "a: 1\n"
    assert json.loads(tree["files"]["ds_config.json"])["zero_optimization"]["stage"] == 2
    assert tree["before"] == {"fetch_bytes": 7, "fetch_data": [], "compile": [], "convert": "x.gguf", "not_here": []}
    assert (tree["format_version"], tree["verdict"], tree["run_dir"]) == (1, "fits", "/work/runs/tiny")


def test_a_port_that_is_chosen_may_be_another(request_of_plan):
    output = io.StringIO()
    print_request(Console(file=output, width=100), make_plan(), request_of_plan, RUN, Before(first_port=29511))
    assert output.getvalue().startswith("Would be started, with the first free port from 29511 on\n")


def test_before_the_start():
    plan = make_plan()
    assert before_lines(plan, Before()) == ["nothing: model, data and compiled ops are here"]
    assert before_lines(plan, Before(fetch_bytes=2**30, convert="x.gguf")) == [
        "fetch tiny/llama (about 1.0 GiB)",
        "convert x.gguf, once for the machine",
    ]
    assert before_lines(plan, Before(fetch_data=("acme/rows",), not_here=("no GPU",))) == [
        "fetch acme/rows, where the hub's cache does not hold it yet",
        "not here: no GPU",
    ]
