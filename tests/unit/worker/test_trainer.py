"""The loss must be SFTTrainer's to the last digit that matters, with everything left out that only costs time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import Trainer
from trl import SFTConfig, SFTTrainer

from tunekit.launcher.run_dir import RunDir
from tunekit.worker import trainer as module
from tunekit.worker.arguments import argument_values
from tunekit.worker.measuring import Meter
from tunekit.worker.model import load_model, load_tokenizer
from tunekit.worker.trainer import WorkerTrainer, real_tokens
from tunekit.worker.world import World

pytestmark = pytest.mark.train
CPU = World(rank=0, local_rank=0, size=1, device=torch.device("cpu"))
SAMPLES = [list(range(10, 30)), list(range(40, 47)), list(range(60, 75))]
ITEMS = torch.tensor(37.0)

MakeTrainer = Callable[..., Any]


def arguments(plan: Any, tmp_path: Path) -> SFTConfig:
    values = argument_values(plan, RunDir(tmp_path), {})
    return SFTConfig(**{name: value for name, value in values.items() if name != "deepspeed"})


def samples(rows: list[list[int]], **columns: Any) -> Dataset:
    masked = [[-100] * 4 + row[4:] for row in rows]
    return Dataset.from_dict({"input_ids": rows, "labels": masked, **columns})


@pytest.fixture
def make_trainer(tiny_model: Path, plan_tiny: Any, tmp_path: Path) -> MakeTrainer:
    """A trainer of ours, or TRL's own, on the same model and arguments, without DeepSpeed."""

    def make(kind: type = WorkerTrainer, *, loss: str = "full", rows: Dataset | None = None, **data: Any) -> Any:
        plan = plan_tiny(train={"loss": loss, "precision": "fp32"}, data={"packing": False, **data})
        ours = {"plan": plan, "world": CPU, "meter": Meter(CPU)} if kind is WorkerTrainer else {}
        return kind(
            model=load_model(plan, tiny_model, CPU),
            args=arguments(plan, tmp_path),
            train_dataset=rows or samples(SAMPLES),
            processing_class=load_tokenizer(plan, tiny_model),
            **ours,
        )

    return make


def batch_of(trainer: Any, rows: Dataset | None = None) -> dict[str, Any]:
    batch: dict[str, Any] = trainer.data_collator(list(rows or trainer.train_dataset))
    return batch


@pytest.mark.parametrize("loss", ["full", "chunked"])
def test_the_loss_is_sft_trainers(make_trainer: MakeTrainer, loss: str) -> None:
    theirs, ours = make_trainer(SFTTrainer), make_trainer(loss=loss)
    expected, found = (
        trainer.compute_loss(trainer.model, batch_of(trainer), num_items_in_batch=ITEMS) for trainer in (theirs, ours)
    )
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    for trainer, value in ((theirs, expected), (ours, found)):
        trainer.model.zero_grad()
        value.backward()
    gradients = zip(theirs.model.parameters(), ours.model.parameters(), strict=True)
    assert all(torch.allclose(one.grad, two.grad, rtol=1e-4, atol=1e-7) for one, two in gradients)


@pytest.mark.parametrize("loss", ["full", "chunked"])
def test_without_a_count_it_is_the_mean_of_the_batch(make_trainer: MakeTrainer, loss: str) -> None:
    theirs, ours = make_trainer(SFTTrainer), make_trainer(loss=loss)
    expected, found = (trainer.compute_loss(trainer.model, batch_of(trainer)) for trainer in (theirs, ours))
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("loss", ["full", "chunked"])
def test_packed_samples_do_not_see_each_other(make_trainer: MakeTrainer, loss: str) -> None:
    row = [token for sample in SAMPLES for token in sample]
    labels = [label for sample in SAMPLES for label in [-100] * 4 + sample[4:]]
    lengths = [[len(sample) for sample in SAMPLES]]
    packed_rows = Dataset.from_dict({"input_ids": [row], "labels": [labels], "seq_lengths": lengths})
    packed = make_trainer(loss=loss, rows=packed_rows, packing=True)
    apart = make_trainer(loss=loss)
    batch = batch_of(packed)
    assert batch["input_ids"].shape == (1, 64)
    assert real_tokens(batch) == len(row)
    together = packed.compute_loss(packed.model, batch, num_items_in_batch=ITEMS).item()
    each = sum(
        apart.compute_loss(apart.model, batch_of(apart, samples([sample])), num_items_in_batch=ITEMS).item()
        for sample in SAMPLES
    )
    assert together == pytest.approx(each, rel=1e-5)


def test_ranks_average_what_all_tokens_divided(make_trainer: MakeTrainer) -> None:
    ours = make_trainer()
    alone = ours.compute_loss(ours.model, batch_of(ours), num_items_in_batch=ITEMS)
    ours.world = World(rank=0, local_rank=0, size=2, device=CPU.device)
    of_two = ours.compute_loss(ours.model, batch_of(ours), num_items_in_batch=ITEMS)
    assert of_two.item() == pytest.approx(2 * alone.item())


def test_a_mixtures_balance_is_averaged_over_the_steps_parts(make_trainer: MakeTrainer) -> None:
    ours = make_trainer()
    ours.aux_loss_enabled, ours.router_aux_loss_coef, ours.current_gradient_accumulation_steps = True, 0.5, 4
    ours.world = World(rank=0, local_rank=0, size=2, device=CPU.device)
    outputs = type("Outputs", (), {"aux_loss": torch.tensor(8.0)})
    # 3 of the tokens and 0.5 x 8 of the balance.
    assert ours._of_the_whole_step(torch.tensor(7.0), outputs).item() == 3 * 2 + 4 / 4


def test_nothing_is_computed_that_nobody_reads(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = make_trainer(loss="chunked")
    outputs = ours.model(**batch_of(ours), fused_lm_head=True)
    assert outputs.log_probs is not None
    assert outputs.entropy is None
    assert outputs.is_top1 is None
    assert ours.floating_point_ops(batch_of(ours)) == 0
    seen = []
    monkeypatch.setattr(Trainer, "log", lambda self, logs, start_time=None: seen.append(logs))
    ours.log({"loss": 1.0})
    assert seen == [{"loss": 1.0}]


def test_padding_is_not_counted_as_tokens(make_trainer: MakeTrainer) -> None:
    ours = make_trainer()
    batch = batch_of(ours)
    assert batch["input_ids"].numel() > 42
    assert real_tokens(batch) == sum(map(len, SAMPLES)) == 42
    assert real_tokens({"position_ids": torch.tensor([[0, 1, 0, 1, 2, 0, 0, 0]])}) == 5
    assert real_tokens({"position_ids": torch.tensor([[0, 0]])}) == 0


def test_a_step_trains_and_counts(make_trainer: MakeTrainer) -> None:
    ours = make_trainer()
    ours.args.max_steps = 1
    ours.train()
    assert ours.state.global_step == 1
    assert ours.tokens_in_step > 0
    assert ours._get_learning_rate() == ours.args.learning_rate


def test_evaluating_is_a_phase_of_its_own(make_trainer: MakeTrainer) -> None:
    ours = make_trainer()
    ours.meter.enter("step")
    loss = ours.evaluate(samples(SAMPLES[:1]))["eval_loss"]
    expected = ours.compute_loss(ours.model, batch_of(ours, samples(SAMPLES[:1]))).item()
    assert loss == pytest.approx(expected, rel=1e-5)
    assert ours.meter.phase == "step"
    assert set(ours.meter.peaks) == {"step", "eval"}


def test_a_rehearsal_is_over_before_a_checkpoint_is_read(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it, the rehearsal would keep copies of the averages that were read; the plan counts none in `resume`."""
    order: list[str] = []
    trainer = make_trainer()
    trainer.on_engine = lambda found: order.append("engine" if found is trainer else "another")
    monkeypatch.setattr(module, "read_checkpoint", lambda found, folder: order.append(str(folder)))
    monkeypatch.setattr(Trainer, "_load_from_checkpoint", lambda *_: order.append("read by transformers"))
    trainer._prepare_for_training(1, trainer.get_train_dataloader(), "checkpoint-4")
    trainer._prepare_for_training(1, trainer.get_train_dataloader(), None)
    assert order == ["engine", "checkpoint-4", "engine"]


def test_no_step_is_taken_after_the_last(make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was killed after the checkpoint of its last step would be trained a step longer than asked."""
    epochs: list[int] = []
    monkeypatch.setattr(Trainer, "_run_epoch", lambda trainer, **kwargs: epochs.append(kwargs["epoch"]))
    trainer = make_trainer()
    trainer.state.max_steps = 8
    trainer.state.global_step = 7
    trainer._run_epoch(epoch=3)
    assert (epochs, trainer.control.should_training_stop) == ([3], False)
    trainer.state.global_step = 8
    trainer._run_epoch(epoch=4)
    assert (epochs, trainer.control.should_training_stop) == ([3], True)


def test_a_checkpoint_is_saved_into_an_empty_place(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch, lonely_world: World
) -> None:
    """One of the same step was passed over when the run went on: its doubts and its files are not the new one's."""
    trainer = make_trainer()
    trainer.state.global_step = 4
    folder = Path(trainer.args.output_dir) / "checkpoint-4"
    folder.mkdir(parents=True)
    for name in ("doubtful.json", "complete.json", "of_rank_3.pt"):
        (folder / name).write_text("{}")
    saved: list[bool] = []

    def save(ours: Any, model: Any, trial: Any) -> None:
        saved.append(folder.exists())
        folder.mkdir()

    monkeypatch.setattr(Trainer, "_save_checkpoint", save)
    monkeypatch.setattr(trainer, "deepspeed", SimpleNamespace(optimizer=None))
    trainer._save_checkpoint(trainer.model, None)
    assert saved == [False]
    assert [path.name for path in folder.iterdir()] == ["complete.json"]
