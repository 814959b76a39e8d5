from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.plans import DUAL_4090, make_caller, make_plan, make_recipe
from tunekit.errors import Problem, RecipeError
from tunekit.launcher import build
from tunekit.launcher.build import (
    Attempt,
    binds_cores,
    build_request,
    command_lines,
    deepspeed_argv,
    guard_argv,
    launch_script,
    prepare_argv,
    recipe_text,
)
from tunekit.launcher.run_dir import RunDir
from tunekit.planner.plan_json import plan_from_json
from tunekit.recipe.loading import LoadedRecipe

RUN = RunDir(Path("/work/runs/tiny"))
FIRST = Attempt(master_port=29511)
OFFLOAD = {"offload_optimizer": "cpu"}


def argv(plan=None, caller=None, attempt=FIRST):
    return deepspeed_argv(plan or make_plan(), run_dir=RUN, caller=caller or make_caller(), attempt=attempt)


def request(plan=None, **attempt):
    return build_request(
        plan or make_plan(),
        recipe_text="model: {}\n",
        run_dir=RUN,
        caller=make_caller(),
        attempt=Attempt(master_port=29511, **attempt),
    )


def test_the_command_word_by_word():
    assert argv() == (
        *("/venv/bin/deepspeed", "-H", "/dev/null", "--num_gpus", "2", "--no_local_rank"),
        *("--enable_each_rank_log", "/work/runs/tiny/logs", "--master_port", "29511"),
        *("--module", "tunekit.worker", "--plan", "/work/runs/tiny/plan.json"),
    )


def test_without_the_script_the_module_is_run():
    words = argv(caller=make_caller(has_deepspeed_script=False))
    assert words[:3] == ("/venv/bin/python", "-m", "deepspeed.launcher.runner")
    nowhere = argv(caller=make_caller(has_deepspeed_script=False, versions={"deepspeed": None}))
    assert nowhere[0] == "/venv/bin/deepspeed", "a dry run on a laptop shows what would be typed"


def test_chosen_cards_replace_their_number():
    words = argv(make_plan(DUAL_4090), attempt=Attempt(master_port=1, devices=(2, 3)))
    assert words[words.index("--include") + 1] == "localhost:2,3"
    assert "--num_gpus" not in words


def test_resume_is_told_to_the_worker():
    words = argv(attempt=Attempt(master_port=1, resume_from=Path("/c/checkpoint-9")))
    assert words[-2:] == ("--resume-from", "/c/checkpoint-9")
    assert words.index("--module") < words.index("--resume-from")


def test_cores_are_bound_for_offload_where_numactl_is():
    plan = make_plan(DUAL_4090, zero=OFFLOAD)
    with_numactl = make_caller(has_numactl=True)
    assert binds_cores(plan, with_numactl)
    assert "--bind_cores_to_rank" in argv(plan, with_numactl)
    assert not binds_cores(plan, make_caller())
    assert not binds_cores(make_plan(DUAL_4090), with_numactl)
    assert not binds_cores(make_plan(zero=OFFLOAD), with_numactl)
    assert not binds_cores(plan, make_caller(has_numactl=True, cores_restricted=True))


def test_the_files_are_whole():
    found = {Path(path).name: text for path, text in request(number=3).files.items()}
    assert set(found) == {
        *("recipe.yaml", "recipe.resolved.yaml", "plan.json", "ds_config.json", "launch.json", "launch.sh")
    }
    assert plan_from_json(found["plan.json"]) == make_plan()
    assert "auto" not in json.loads(found["ds_config.json"]).values()
    assert "auto" not in found["recipe.resolved.yaml"]
    record = json.loads(found["launch.json"])
    assert (record["attempt"], record["cwd"], record["versions"]["torch"]) == (3, "/home/user/work", "2.13.0")
    assert record["argv"] == list(request(number=3).argv)
    assert record["env"] == dict(request(number=3).env)


def test_the_same_plan_gives_the_same_request():
    assert request() == request()


def test_a_configuration_with_problems_is_refused(monkeypatch):
    problem = Problem(key="zero_optimization.cpu_offload", found="was removed")
    monkeypatch.setattr(build, "check_ds_config", lambda config, source: (problem,))
    with pytest.raises(RecipeError, match="cpu_offload"):
        request()


def test_overrides_are_kept_beside_the_recipe():
    loaded = LoadedRecipe(recipe=make_plan().recipe, text="a: 1", path=None, overrides=("a=2", "b=3"), file={})
    assert recipe_text(loaded) == "a: 1\n\n# Changed on the command line:\n#   a=2\n#   b=3\n"
    plain = LoadedRecipe(recipe=make_plan().recipe, text="a: 1\n", path=None, overrides=(), file={})
    assert recipe_text(plain) == "a: 1\n"


def test_the_script_does_the_same_by_hand(tmp_path):
    script = launch_script(
        ("/usr/bin/env", "-S", "printf %s|", "two words", "$HOME"),
        {"GREETING": "it's"},
        ("RANK",),
        str(tmp_path),
        guard=("true",),
    )
    path = tmp_path / "launch.sh"
    path.write_text(script.replace("exec ", 'printf "%s %s %s|" "$PWD" "$GREETING" "${RANK-unset}"\nexec '))
    done = subprocess.run(["bash", path], capture_output=True, text=True, check=True, env={"RANK": "3", "HOME": "/h"})
    assert done.stdout == f"{tmp_path} it's unset|two words|$HOME|"


def test_the_script_asks_its_guard_first(tmp_path):
    path = tmp_path / "launch.sh"
    path.write_text(launch_script(("/bin/echo", "trained"), {}, ("RANK",), "/", guard=("bash", "-c", "exit 2")))
    done = subprocess.run(["bash", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert guard_argv(RUN, make_caller()) == (
        *("/venv/bin/python", "-P", "-m", "tunekit.backends.by_hand", "/work/runs/tiny"),
    )


def test_no_text_of_the_user_is_read_by_the_shell(tmp_path):
    """Folder, values and the names of variables may hold anything."""
    evil = tmp_path / "a'$(touch 1);`touch 2`\nü"
    evil.mkdir()
    script = launch_script(
        ("/bin/true", f"{evil}", "; touch 3"),
        {"VALUE": "$(touch 4)"},
        ("ACCELERATE_$(touch 5)", "OMPI_X;touch 6", "RANK"),
        str(evil),
        guard=("true", str(evil)),
    )
    path = tmp_path / "launch.sh"
    path.write_text(script)
    subprocess.run(["bash", path], cwd=tmp_path, check=True)
    assert sorted(found.name for found in tmp_path.rglob("*")) == sorted([evil.name, "launch.sh"])


def test_secrets_of_the_shell_are_not_written_down():
    environ = {"HOME": "/h", "HF_TOKEN": "hf_secret", "WANDB_API_KEY": "secret", "AWS_SECRET_ACCESS_KEY": "secret"}
    made = build_request(
        make_plan(recipe=make_recipe(tracking=["wandb"])),
        recipe_text="model: {}\n",
        run_dir=RUN,
        caller=make_caller(environ=environ, wandb_logged_in=True),
        attempt=FIRST,
    )
    assert made.files
    assert "secret" not in repr(made)


def test_an_option_stands_on_a_line_with_its_value():
    assert command_lines(("deepspeed", "--num_gpus", "2", "--flag", "--plan", "a b")) == [
        "deepspeed",
        "--num_gpus 2",
        "--flag",
        "--plan 'a b'",
    ]


def test_preparation_is_one_process():
    assert prepare_argv(RUN, make_caller()) == (
        *("/venv/bin/python", "-u", "-m", "tunekit.worker.prepare", "--plan", "/work/runs/tiny/plan.json"),
    )


HOSTILE = "a 'b' \"c\" $(touch pwned) `touch pwned`; touch pwned & | > x \\ !! * ~ -rf"


def test_nothing_that_a_user_names_reaches_a_shell_unquoted(tmp_path):
    """The script is run for real: every word arrives as it was, and nothing in it is a command."""
    stub = '#!/bin/sh\nprintf \'%s\\n\' "$@" >> "$ARRIVED"\nenv > "$ARRIVED.env"\n'
    home = tmp_path / HOSTILE
    (home / "bin").mkdir(parents=True)
    for name in ("deepspeed", "python"):
        (home / "bin" / name).write_text(stub)
        (home / "bin" / name).chmod(0o755)
    run = RunDir(home / "-rf $(touch pwned)\nline")
    caller = make_caller(
        executable=str(home / "bin" / "python"),
        prefix=str(home),
        cwd=str(home),
        environ={"PATH": "/usr/bin:/bin", "ACCELERATE_$(touch pwned)": "x", "FSDP_X": "y"},
    )
    plan = make_plan(recipe=make_recipe(tracking=["wandb"], output={"dir": HOSTILE}))
    made = build_request(plan, recipe_text="", run_dir=run, caller=caller, attempt=FIRST)
    script = tmp_path / "launch.sh"
    script.write_text(made.files[str(run.launch_script)])
    arrived = tmp_path / "arrived"
    subprocess.run(["bash", script], env={"PATH": "/usr/bin:/bin", "ARRIVED": str(arrived)}, cwd=tmp_path, check=True)
    assert arrived.read_text() == "\n".join([*guard_argv(run, caller)[1:], *made.argv[1:]]) + "\n"
    assert f"TUNEKIT_RUN={run.path}" in (tmp_path / "arrived.env").read_text()
    assert not list(tmp_path.rglob("pwned"))


def test_a_word_of_several_lines_stays_a_comment():
    loaded = LoadedRecipe(
        recipe=make_recipe(),
        text="a: 1",
        path=None,
        overrides=("data.name=x\nmodel: {path: evil}\u2028b: 2\rc: 3",),
        file={},
    )
    lines = recipe_text(loaded).splitlines()
    assert lines[0] == "a: 1"
    assert all(line.startswith("#") for line in lines[2:])
    assert "#   model: {path: evil}" in lines
