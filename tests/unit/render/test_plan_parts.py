from __future__ import annotations

from dataclasses import replace

from planning import CODELLAMA_34B, LLAMA_8B, SMOLLM, laptop, machine, recipe_for, shape_of

from tunekit.hardware.calibration import Calibration
from tunekit.hardware.spec import Measured
from tunekit.launcher.history import MeasuredBefore
from tunekit.planner.make import make_plan
from tunekit.planner.plan import Decision, Plan
from tunekit.render import plan_parts
from tunekit.units import MIB


def planned(model: str = LLAMA_8B, kind: str = "lora", **keys: object) -> Plan:
    return make_plan(recipe_for(model, kind, **keys), shape_of(model), machine())


def test_the_title_is_short() -> None:
    assert plan_parts.title(planned()) == "LoRA of Llama-3.1-8B-Instruct on dual_rtx4090"


def test_the_batch_line_shows_the_identity() -> None:
    keys = {"train__micro_batch_size": 1, "train__global_batch_size": 16}
    assert plan_parts.batch_line(planned(**keys)) == (
        "16 rows a step = 1 micro x 8 accumulation x 2 GPUs; 2,048 tokens a row, 32,768 a step"
    )


def test_rows_that_are_not_packed_say_what_they_hold_and_what_padding_adds() -> None:
    keys = {"train__global_batch_size": 18, "data__packing": False}
    end = "about 256 tokens a row (at most 2,048), 4,608 a step"
    assert plan_parts.batch_line(planned(train__micro_batch_size=1, **keys)).endswith(end)
    padded = planned(train__micro_batch_size=3, **keys)
    assert padded.speed is not None
    assert plan_parts.batch_line(padded).endswith(f"{end}, 6,912 with padding")
    assert (padded.speed.tokens_per_step, padded.speed.positions_per_step) == (4608, 6912)


def test_samples_say_who_measured_them() -> None:
    line = plan_parts.samples_line(planned().job)
    assert line == (
        "samples of 256 tokens on average are assumed: rows.jsonl cannot be read here; "
        "a local file as data.path tells (`fit`: --data FILE)"
    )
    read = plan_parts.samples_line(planned(data__path="examples/data/finetuning_qa.jsonl").job)
    assert "78 tokens on average: all 411 of examples/data/finetuning_qa.jsonl at 4 bytes a token, and for" in read
    assert read.endswith("(assumed)")
    assert plan_parts.samples_line(replace(planned().job, samples=None)) == ""


def test_processes_and_single_cards_are_named_right() -> None:
    shape = shape_of("HuggingFaceTB/SmolLM2-135M-Instruct")
    on_cpu = make_plan(recipe_for(), shape, laptop(2))
    alone = make_plan(recipe_for(), shape, machine("single_rtx4090"))
    assert "x 2 processes;" in plan_parts.batch_line(on_cpu)
    assert "x 1 GPU;" in plan_parts.batch_line(alone)


def test_facts_name_model_method_and_machine() -> None:
    facts = dict(plan_parts.facts(planned(CODELLAMA_34B, "qlora", zero__preset="z3_qlora")))
    assert facts["Machine"].startswith("2 x ")
    assert "33.74 B parameters" in facts["Model"]
    assert facts["Method"].startswith("QLoRA; nf4 with double quantisation; rank 16, alpha 32")
    assert facts["ZeRO"] == "z3_qlora: stage 3, no offload"
    assert "learning rate 1e-4" in facts["Train"]


def test_zero_says_what_is_offloaded_where() -> None:
    plan = planned("meta-llama/Llama-2-7b-chat-hf", "full", zero__preset="z3_offload_bf16")
    assert plan_parts.zero_line(plan) == "z3_offload_bf16: stage 3, optimizer on CPU, parameters on CPU, bf16 states"
    partial = replace(plan, job=replace(plan.job, zero=replace(plan.job.zero, offload_ratio=0.4)))
    assert "40% of the optimizer offloaded" in plan_parts.zero_line(partial)
    swapped = replace(plan.job.zero, offload_optimizer="nvme", nvme_path="/fast")
    drive = replace(plan, job=replace(plan.job, zero=swapped))
    assert "optimizer on NVMe" in plan_parts.zero_line(drive)
    assert "in /fast (a folder of your own: zero.nvme_path)" in plan_parts.zero_line(drive)


def test_a_machine_without_cards_has_no_gpu_column() -> None:
    on_cpu = make_plan(recipe_for(), shape_of("HuggingFaceTB/SmolLM2-135M-Instruct"), laptop())
    assert [column.place for column in plan_parts.memory_columns(on_cpu)] == ["host", "disk"]
    assert "CPU processes" in dict(plan_parts.facts(on_cpu))["Machine"]


def test_columns_hold_the_peaks_of_the_phases() -> None:
    plan = planned()
    device = plan_parts.memory_columns(plan)[0]
    assert device.title == "GPU (each of 2)"
    assert [phase for phase, _ in device.cells] == ["load", "first forward", "step", "optimizer", "save"]
    amounts = {peak.phase: peak.device_bytes for peak in plan.memory.peaks}
    assert all(cell.bytes == amounts[phase] for phase, cell in device.cells)


def test_evaluation_has_a_row_when_there_is_one() -> None:
    assert "eval" in plan_parts.shown_phases(planned(data__eval_fraction=0.1))
    assert "eval" not in plan_parts.shown_phases(planned())


def test_cells_of_a_rejected_plan_are_marked() -> None:
    plan = planned(CODELLAMA_34B, "full", zero__preset="z3_offload")
    verdicts = {cell.verdict for column in plan_parts.memory_columns(plan) for _, cell in column.cells}
    assert "rejected" in verdicts


def test_both_judges_have_a_row() -> None:
    model, table = plan_parts.judge_rows(planned())
    assert (model.name, model.verdict) == ("memory model", "fits")
    assert (table.name, table.verdict) == ("LLaMA-Factory table", "passes")
    assert " to " in model.device
    assert " of 23.5" in table.device


def test_the_overruled_judge_is_marked() -> None:
    plan = make_plan(recipe_for(CODELLAMA_34B, "full"), shape_of(CODELLAMA_34B), machine(), trust="table")
    model, table = plan_parts.judge_rows(plan)
    assert model.verdict == "(rejected)"
    assert table.verdict == "fails"


def test_a_judge_that_rejects_alone_can_be_overruled() -> None:
    table_alone = planned(CODELLAMA_34B, "qlora", zero__preset="z2", train__micro_batch_size=1, method__rank=32)
    assert table_alone.verdict == "rejected"
    assert plan_parts.overrule_hint(table_alone) == "Only the LLaMA-Factory table rejects; --trust model overrules it."
    assert plan_parts.overrule_hint(planned()) == ""
    both = planned(CODELLAMA_34B, "full", zero__preset="z3_offload")
    assert plan_parts.overrule_hint(both) == ""
    model_alone = replace(both, table=replace(both.table, passes=True))
    assert plan_parts.overrule_hint(model_alone) == "Only the memory model rejects; --trust table overrules it."


def test_an_exception_names_the_first_fixes_in_words_of_python_and_recipes() -> None:
    rejected = planned(CODELLAMA_34B, "full", zero__preset="z3_offload")
    text = plan_parts.rejection_text(rejected)
    lines = text.splitlines()
    assert lines[:2] == [rejected.reason, "What to change:"]
    assert [line.split("  (")[0] for line in lines[2:-1]] == [f"  {fix.set}" for fix in rejected.fixes[:3]]
    assert lines[-1] == "Nothing was started."
    assert "--" not in text


def test_an_exception_says_in_python_how_to_overrule_one_judge() -> None:
    table_alone = planned(CODELLAMA_34B, "qlora", zero__preset="z2", train__micro_batch_size=1, method__rank=32)
    text = plan_parts.rejection_text(table_alone)
    assert 'Only the LLaMA-Factory table rejects; trust="model" overrules it.' in text
    assert "--" not in text


def test_sizes_become_one_line_and_long_lists_a_count() -> None:
    short = list(plan_parts.short_decisions(planned(CODELLAMA_34B, "lora")))
    keys = [key for key, _, _ in short]
    assert keys.count("zero.*") == 1
    assert not set(keys) & set(plan_parts.SIZE_KEYS)
    assert ("method.target_modules", "7 modules") in [(key, value) for key, value, _ in short]
    assert plan_parts.shortened(Decision(key="a", value="[b,c]", reason="")) == "[b,c]"


def test_the_largest_terms_are_those_of_the_worst_phase() -> None:
    plan = planned()
    largest = plan_parts.largest_terms(plan, "device", 3)
    assert len(largest) == 3
    assert largest[0].name == "frozen base"


def test_figures_measured_on_the_machine_are_named_with_their_runs() -> None:
    measured = Calibration(
        machine="x", date="2026-11-22", runs=("runs/a", "runs/b"), context_bytes=310 * MIB, packed_margin=0.045
    )
    made = make_plan(recipe_for(), shape_of(SMOLLM), replace(machine(), calibration=measured))
    assert dict(plan_parts.facts(made))["Calibrated"] == (
        "CUDA context of a process 310 MiB, allocator margin, packed rows 4.5% "
        "(tunekit calibrate, 2026-11-22: runs/a, runs/b)"
    )
    assert "Calibrated" not in dict(plan_parts.facts(planned()))
    assert plan_parts.format_figure("rank_bytes", measured) == plan_parts.format_figure("rank_bytes", None) == "-"


def test_a_run_before_is_the_same_job_or_says_what_differs() -> None:
    before = MeasuredBefore(run="runs/a", date="2026-11-22", peaks=(), differs=())
    assert plan_parts.before_line(before) == "runs/a, 2026-11-22: the same job"
    differs = ("zero.stage=3", "train.max_seq_length=512")
    assert plan_parts.before_line(replace(before, differs=differs)).endswith(
        ": with zero.stage=3, train.max_seq_length=512"
    )


def test_what_a_probe_measured_is_said_with_its_day() -> None:
    measured = Measured(date="2026-11-22", matmul_tflops=158.2, to_gpu_rate=12_700_000_000, adam="x")
    made = make_plan(recipe_for(), shape_of(SMOLLM), replace(machine(), measured=measured))
    said = dict(plan_parts.facts(made))["Measured"]
    assert said == "matrix products 158.2 TFLOPS, RAM to card 12.7 GB/s (tunekit hardware probe, 2026-11-22)"
    assert "Measured" not in dict(plan_parts.facts(make_plan(recipe_for(), shape_of(SMOLLM), machine())))
