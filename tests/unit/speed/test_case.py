from memory_jobs import SEVEN, adapter, llama
from speed_jobs import case, seven

from tunekit.model_shape.catalogue import find
from tunekit.speed.case import count, padded_cases
from tunekit.speed.habits import Habits


def test_a_dense_model_passes_every_matrix():
    shape = llama(layers=2, hidden=64, heads=4, kv_heads=2, ffn=176, vocab=320)
    found = count(shape, "full", None)
    layer = 64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 176
    assert found.products == found.stored_products == found.trained_products == 2 * layer
    assert found.head == 320 * 64
    assert found.linears == 7
    assert found.product_widths == 2 * (2 * 128 + 2 * 96 + 3 * 240)
    assert found.trained == found.everything == shape.num_parameters


def test_adapters_train_no_matrix_of_the_model():
    shape = llama(layers=2, hidden=64, heads=4, kv_heads=2, ffn=176, vocab=320)
    found = count(shape, "lora", adapter(8))
    assert found.trained_products == 0
    assert found.adapters == 14
    assert found.adapter_inputs == 2 * (4 * 64 + 2 * 64 + 176)
    assert found.adapter_outputs == 2 * (64 + 32 + 32 + 64 + 2 * 176 + 64)
    assert found.adapter_elements == 8 * (found.adapter_inputs + found.adapter_outputs) == found.trained


def test_a_mixture_passes_its_active_experts_only():
    shape = find("mistralai/Mixtral-8x7B-v0.1")
    assert shape is not None
    found = count(shape, "full", None)
    assert found.stored_products > 3 * found.products
    active = found.products + 2 * shape.count("embedding")
    assert 12.5e9 < active < 13.1e9  # Mistral says 12.9e9 active


def test_a_4_bit_base_is_counted_as_memory_counts_it():
    assert count(seven(), "qlora", adapter(16, SEVEN)).quantized == count(seven(), "qlora", adapter(16)).products


def test_packed_rows_attend_as_one_without_flash_attention():
    assert case(micro=4, packing=True, attention="sdpa").row == 4 * 2048
    assert case(micro=4, packing=True, attention="flash_attention_2").row == 2048
    full = Habits(full_rows=True)
    assert case(micro=4, packing=False, attention="sdpa", habits=full).row == 2048


def test_padded_rows_are_as_long_as_the_longest_of_their_pass_is_on_average() -> None:
    for micro, length in ((1, 1024), (3, 1536), (7, 1792)):
        padded = case(micro=micro, packing=False)
        assert (padded.row, padded.tokens) == (length, micro * length)
    assert case(micro=3, packing=True, attention="flash_attention_2").tokens == 3 * 2048


def test_counting_happens_once():
    count.cache_clear()
    shape = seven()
    for micro in (1, 2, 4):
        case("lora", micro=micro, shape=shape)
    assert count.cache_info().misses == 1


def test_norms_are_those_that_run():
    found = {name: find(name) for name in ("meta-llama/Llama-2-7b-hf", "Qwen/Qwen3-8B", "EleutherAI/pythia-1b")}
    counts = [count(shape, "full", None).norms for shape in found.values() if shape]
    assert counts == [2, 3, 2]


def test_rows_are_padded_from_not_at_all_to_their_longest():
    """Four rows of 1,024 of at most 2,048 tokens: 0.5 to 1 of the positions hold one."""
    asked = case("lora", packing=False, micro=4)
    ends = padded_cases(asked)
    assert ends is not None
    assert [each.row for each in (ends[0], asked, ends[1])] == [1024, 1638, 2048]
    assert [each.tokens for each in ends] == [4 * 1024, 4 * 2048]
    assert padded_cases(case("lora", packing=False, micro=1)) is None
    assert padded_cases(case("lora", packing=True, micro=4)) is None
