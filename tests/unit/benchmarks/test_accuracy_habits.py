"""What programs do that their tables do not say, as far as the memory model is told of it."""

from __future__ import annotations

from accuracy.habits import Habits, habits_of
from accuracy.rows import Row


def habits(**cells: str) -> Habits:
    return habits_of(Row(cells=cells))


def test_prime_rl_stores_everything_in_float32_and_keeps_the_outputs_of_supervised_tuning():
    rl = habits(framework="prime-rl (FSDP2)", method="lora RL trainer step")
    sft = habits(framework="prime-rl (FSDP2)", method="full SFT")
    assert (rl.loss, sft.loss, sft.practice.logit_bytes) == ("liger", "full", 16)
    assert (rl.adapter_states.frozen_upcast, rl.slots, rl.states.trained_bytes) == (True, 4, 4)


def test_torchtitan_keeps_products_where_it_checkpoints_selectively():
    assert habits(framework="torchtitan", grad_ckpt="selective").practice.keeps_products
    assert not habits(framework="torchtitan", grad_ckpt="full").practice.keeps_products


def test_torchtune_has_all_logits_only_with_the_loss_of_chunks():
    assert habits(framework="torchtune").loss == "liger"
    chunked = habits(framework="torchtune", kernels="chunked cross-entropy", torch_compile="on")
    assert (chunked.loss, chunked.practice.logit_bytes) == ("chunks", 2.5)
    assert habits(framework="torchtune", optimizer="AdamW torchao 4-bit").states.moment_bytes == 1.0625


def test_torchao_compiles_the_float32_logits_away():
    assert habits(framework="torchao example", torch_compile="off").practice.logit_bytes == 12
    assert habits(framework="torchao example", torch_compile="on").practice.logit_bytes == 4
    assert habits(framework="torchao example", base_weight_dtype="int8").states.stored_bytes == 1


def test_accelerate_trains_in_float32_under_fsdp():
    assert habits(framework="axolotl example", parallelism="FSDP2").states.trained_bytes == 4
    assert habits(framework="axolotl example", parallelism="none").states.trained_bytes == 2


def test_trl_makes_a_quantised_base_ready():
    assert habits(framework="TRL SFTTrainer", quant="bnb nf4").adapter_states.frozen_upcast
    assert not habits(framework="TRL SFTTrainer").adapter_states.frozen_upcast


def test_swift_keeps_the_lengths_of_rows():
    assert habits(framework="ms-swift v2", model="qwen-7b-chat").varies
    assert habits(framework="ms-swift v2", model="chatglm3-6b").attention == "eager"


def test_before_torch_2_gradients_are_kept_and_the_optimizer_steps_one_tensor_at_a_time():
    old = habits(framework="transformers Trainer", model="bert-large (sequence classification)", published="2022")
    new = habits(framework="transformers Trainer", model="bert-large (sequence classification)", published="2024-01-01")
    assert (old.states.keeps_gradients, old.states.step_copies) == (True, 0.0)
    assert (new.states.keeps_gradients, new.states.step_copies) == (False, 1.0)
