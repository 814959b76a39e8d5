from dataclasses import replace

from memory_jobs import adapter, job, llama, machine

from tunekit.memory.case import make_case, take_inventory

SHAPE = llama()


def test_full_trains_every_tensor() -> None:
    found = take_inventory(SHAPE, "full", None)
    assert found.num_trainable == SHAPE.num_parameters
    assert (found.num_frozen, found.num_quantized) == (0, 0)
    assert found.head_is_trained
    assert found.embedding_is_trained


def test_a_qlora_base_is_split_without_loss() -> None:
    found = take_inventory(SHAPE, "qlora", adapter())
    assert found.num_frozen + found.num_quantized == SHAPE.num_parameters
    assert found.num_quantized == SHAPE.count("linear")
    assert 4 * sum(each.total for each in found.packed) == found.num_quantized
    assert not found.head_is_trained


def test_a_module_saved_beside_the_adapter_is_trained_and_kept() -> None:
    saved = replace(adapter(), modules_to_save=("lm_head",))
    plain, found = take_inventory(SHAPE, "lora", adapter()), take_inventory(SHAPE, "lora", saved)
    assert found.num_trainable == plain.num_trainable + SHAPE.count("head")
    assert found.num_frozen == plain.num_frozen == SHAPE.num_parameters
    assert found.head_is_trained


def test_norms_form_an_optimizer_group_of_their_own() -> None:
    groups = take_inventory(SHAPE, "full", None).groups
    assert [sum(each.total for each in group) for group in groups] == [
        SHAPE.num_parameters - SHAPE.count("norm"),
        SHAPE.count("norm"),
    ]
    assert len(take_inventory(SHAPE, "lora", adapter()).groups) == 1


def test_a_tied_head_is_the_embedding() -> None:
    tied = take_inventory(llama(tied=True), "full", None)
    assert tied.head == tied.embedding > 0


def test_without_cards_everything_runs_on_the_cpu() -> None:
    assert make_case(job(), SHAPE, machine(0)).on_cpu
    assert make_case(job(accelerator="cpu"), SHAPE, machine(2)).on_cpu
    assert not make_case(job(), SHAPE, machine(2)).on_cpu


def test_master_copies_are_sixteen_bit_only_with_bf16_states() -> None:
    assert make_case(job(zero={"bf16_states": True}), SHAPE, machine()).master_bytes == 2
    assert make_case(job(zero={"bf16_states": True, "stage": 0}), SHAPE, machine()).master_bytes == 4
    assert make_case(job(precision="fp32"), SHAPE, machine()).weight_bytes == 4


def test_offload_param_counts_in_stage_three_only() -> None:
    """DeepSpeed accepts and ignores it in stage 2."""
    assert not make_case(job(zero={"offload_param": "cpu"}), SHAPE, machine()).offloads_param
    assert make_case(job(zero={"offload_param": "cpu", "stage": 3}), SHAPE, machine()).offloads_param


def test_one_rank_gathers_nothing_unless_its_weights_rest_in_ram() -> None:
    assert not make_case(job(zero={"stage": 3}, ranks=1), SHAPE, machine(1)).gathers
    assert make_case(job(zero={"stage": 3, "offload_param": "cpu"}, ranks=1), SHAPE, machine(1)).gathers
