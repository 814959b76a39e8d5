import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunekit.memory.partitions import (
    flat_partition,
    in_order,
    partition_sizes,
    persistent_elements,
    pinned_tensors,
    power_of_two,
    sharded_elements,
    sub_group_elements,
    sub_groups,
)
from tunekit.model_shape.shape import ParameterTensor


def tensor(name: str, *shape: int, count: int = 1, first: int = 0) -> ParameterTensor:
    return ParameterTensor(name=name, shape=shape, role="linear", count=count, first_layer=first)


PAIR = (
    tensor("embed", 10),
    tensor("layers.{layer}.a", 3, count=2),
    tensor("layers.{layer}.b", 5, count=2),
    tensor("norm", 4),
)


@pytest.mark.parametrize(("elements", "ranks", "share"), [(100, 2, 50), (101, 2, 52), (7, 3, 4), (0, 2, 0), (5, 1, 6)])
def test_a_flat_group_is_padded_to_twice_the_ranks(elements: int, ranks: int, share: int) -> None:
    assert flat_partition(elements, ranks) == share


def test_stage_three_pads_every_tensor_alone() -> None:
    assert sharded_elements(PAIR, 2) == 5 + 2 * 2 + 2 * 3 + 2
    assert sharded_elements(PAIR, 1) == sum(each.total for each in PAIR)


@pytest.mark.parametrize(
    ("size", "block"), [(0, 0), (1, 1), (3, 4), (4, 4), (2_250 * 2**20, 2**32), (10 * 2**30, 2**34)]
)
def test_pinned_blocks_take_the_next_power_of_two(size: int, block: int) -> None:
    """2.25 GiB took 4 GiB and 10 GiB took 16 GiB in published measurements."""
    assert power_of_two(size) == block


def test_each_pinned_tensor_is_rounded_alone() -> None:
    """18944 x 3584 over two ranks: 67.9 MB take 134.2 MB; 11008 x 4096: 45.1 MB take 67.1 MB."""
    assert pinned_tensors((tensor("up", 18944, 3584),), 2, 2) == 134_217_728
    assert pinned_tensors((tensor("up", 11008, 4096),), 2, 2) == 67_108_864
    assert pinned_tensors((tensor("q", 4096, 4096, count=3),), 2, 2) == 3 * 4096 * 4096


def test_layers_follow_one_another_where_the_first_stands() -> None:
    assert [each.name for each in in_order(PAIR)] == [
        "embed",
        "layers.{layer}.a",
        "layers.{layer}.b",
        "layers.{layer}.a",
        "layers.{layer}.b",
        "norm",
    ]


def test_partitions_are_rounded_up_one_by_one() -> None:
    assert partition_sizes(PAIR, 1) == (10, 3, 5, 3, 5, 4)
    assert partition_sizes(PAIR, 2) == (5, 2, 3, 2, 3, 2)


def test_a_tensor_that_starts_later_is_left_out_of_the_first_layers() -> None:
    tensors = (tensor("layers.{layer}.q", 3, count=3), tensor("layers.{layer}.x", 5, first=2))
    assert partition_sizes(tensors, 1) == (3, 3, 3, 5)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=50), st.integers(1, 5000))
def test_sub_groups_hold_every_element_once_and_are_full(partitions: list[int], size: int) -> None:
    groups = sub_group_elements(partitions, size)
    assert sum(groups) == sum(partitions)
    assert all(group >= size for group in groups[:-1])


def test_a_sub_group_overshoots_by_its_last_parameter() -> None:
    assert sub_groups(PAIR, 1, 11) == (13, 13, 4)
    assert sub_groups(PAIR, 1, 10) == (10, 11, 9)
    assert sub_groups(PAIR, 1, 1000) == (30,)
    assert sub_groups((), 2, 10) == ()


def test_sub_groups_lose_no_element() -> None:
    for size in range(1, 40):
        assert sum(sub_groups(PAIR, 2, size)) == sharded_elements(PAIR, 2)


def test_small_tensors_persist() -> None:
    assert persistent_elements(PAIR, 4) == 2 * 3 + 4
