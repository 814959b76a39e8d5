from __future__ import annotations

import pytest

from tunekit.diagnosis.phases import MARKERS, MOMENTS, moment_of, phase_at, phase_of
from tunekit.render.live import PHASE_WORDS


def test_the_last_marker_is_the_phase():
    text = "Loading checkpoint shards: 100%\nDeepSpeed info: version=0.19.8\n{'loss': 2.1}\n"
    assert phase_of(text) == "train"
    assert phase_of(text + "[INFO] Saving model checkpoint to out/checkpoint-50\n") == "save"
    assert phase_of("step") is None


def test_every_phase_has_words_of_its_own():
    assert {phase for _, phase in MARKERS} <= set(PHASE_WORDS)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ('File "x/trainer.py", line 3, in _save_checkpoint\n  in _call_impl', "while saving"),
        ('File "x/trainer.py", line 3, in evaluation_loop\n  in forward', "in evaluation"),
        ('File "x/loss/loss_utils.py", line 58, in ForCausalLMLoss', "in the loss"),
        ('File "x/zero/stage_1_and_2.py", line 1901, in step', "in the optimizer's step"),
        ('File "x/stage3.py", line 2, in backward\n File "c.py", line 1, in forward', "in the backward pass"),
        ('File "x/modeling_utils.py", line 2, in from_pretrained', "while loading the model"),
        ('File "x/llama.py", line 2, in forward', "in the forward pass"),
        ('File "x/other.py", line 2, in prepare_model_for_kbit_training', "while the 4-bit model was prepared"),
    ],
)
def test_frames_tell_the_moment(frames, words):
    assert moment_of(frames).words == words


@pytest.mark.parametrize(
    ("frames", "marker", "phase"),
    [
        ("    loss.backward()", "Loading weights: 100%", "train"),
        ("    optimizer.step()", "Loading weights: 100%", "train"),
        ("in initialize_optimizer_states", "DeepSpeed info: version=0.19.8", "engine"),
        ("in forward", "***** Running Evaluation *****", "eval"),
        ("in backward", "***** Running Evaluation *****", "train"),
        ("in main", "Loading weights: 100%", "model"),
    ],
)
def test_frames_tell_the_phase_better_than_an_old_marker(frames, marker, phase):
    assert phase_at(f"{marker}\n", moment_of(f'File "x.py", line 2, {frames}\n')) == phase


def test_frames_that_tell_nothing():
    assert moment_of('File "x.py", line 2, in main') is None
    assert all(moment.saver and moment.phase in PHASE_WORDS for moment in MOMENTS)
