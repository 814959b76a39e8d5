"""Habits of other programs change the bytes they are about; the worker's own change nothing."""

from __future__ import annotations

from dataclasses import replace

from memory_jobs import job, llama, machine

from tunekit.memory import activations, logits
from tunekit.memory.case import make_case
from tunekit.memory.practice import WORKER, Practice
from tunekit.model_shape.catalogue import find


def case(practice: Practice = WORKER):
    plain = job("full", zero={"stage": 0}, loss="full", max_seq_length=512)
    return make_case(plain, llama(layers=8), machine(), practice)


def test_the_worker_is_the_default():
    assert case().practice == WORKER == Practice()


def test_a_residual_stream_in_32_bits_doubles_the_checkpoints():
    plain = activations.activation_checkpoints(case()).device_bytes
    assert activations.activation_checkpoints(case(Practice(residual_bytes=4))).device_bytes == 2 * plain


def test_checkpoints_in_ram_leave_two_layers_on_the_device():
    plain = activations.activation_checkpoints(case()).device_bytes
    assert activations.activation_checkpoints(case(Practice(checkpoints_in_ram=True))).device_bytes == plain // 4


def test_gradients_of_layer_inputs_are_kept_only_where_asked():
    assert activations.layer_input_gradients(case()).device_bytes == 0
    kept = activations.layer_input_gradients(case(Practice(layer_input_gradients=True)))
    assert kept.device_bytes == 2 * 64 * 6 * 512
    assert kept.moments == ("backward end",)


def test_a_loss_with_other_logits():
    shape = case().shape
    more = logits.full_loss(case(Practice(logit_bytes=14.0))).device_bytes
    assert more - logits.full_loss(case()).device_bytes == 2 * shape.vocab_size * 512


def test_a_mixture_whose_experts_run_in_turn_needs_less_in_backward():
    dense, turns = (case(each) for each in (Practice(), Practice(experts_in_turn=True)))
    assert activations.layer_phase(dense) == activations.layer_phase(turns)
    mixture = find("mistralai/Mixtral-8x7B-v0.1")
    assert mixture is not None
    at_once, turns = (replace(each, shape=mixture) for each in (dense, turns))
    assert activations.layer_phase(turns) < activations.layer_phase(at_once)


def test_norms_of_one_kernel_keep_nothing():
    assert activations.saved_per_layer(case()) > activations.saved_per_layer(case(Practice(fused_norms=True)))


def test_repeated_values_are_kept_for_every_head():
    wide = activations.saved_per_layer(case(Practice(repeats_values=True)))
    assert wide - activations.saved_per_layer(case()) == 4 * (64 - 32)


def test_a_cache_keeps_keys_and_values_once_more():
    wide = activations.saved_per_layer(case(Practice(keeps_cache=True)))
    assert wide - activations.saved_per_layer(case()) == 4 * 32
