from __future__ import annotations

import pytest

from tests.failing_logs import (
    ABOUT,
    DEEPSPEED,
    DESTRUCTOR,
    LAUNCHERS,
    LOGGING_ERROR,
    PEER,
    accelerate_log,
    deepspeed_log,
    samples,
    torchrun_log,
)
from tests.runs import TRACEBACK
from tunekit.diagnosis.diagnose import MOST_OTHERS, diagnose
from tunekit.diagnosis.reading import Log
from tunekit.diagnosis.signatures.table import named

RANKS_OWN = [sample for sample in samples(*ABOUT) if not sample.whole]
WHOLE = [sample for sample in samples(*ABOUT) if sample.whole and sample.name != "destructor's noise"]
OOM = next(sample.text for sample in RANKS_OWN if sample.name == "GPU out of memory")
TOKEN = next(sample.text for sample in RANKS_OWN if sample.name == "token beyond the vocabulary")
FINISHED = """{'loss': 1.9213, 'grad_norm': 2.1, 'learning_rate': 9.8e-05, 'epoch': 0.02}
{'loss': 1.1127, 'grad_norm': 0.9, 'learning_rate': 0.0, 'epoch': 1.0}
{'train_runtime': 1200.1, 'train_samples_per_second': 3.3, 'train_loss': 1.5, 'epoch': 1.0}
[2026-11-22 10:40:20,100] [INFO] [launch.py:356:main] Process 4243 exits successfully.
"""


def told(text, name="train.log", **more):
    return diagnose([Log(name=name, text=text, **more)])


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("sample", RANKS_OWN, ids=lambda sample: sample.name)
def test_every_signature_in_the_logs_of_every_launcher(sample, launcher):
    found = told(LAUNCHERS[launcher](sample.text, code=sample.code))
    assert (found.failed, found.known, found.name, found.rank) == (True, True, sample.name, 1)
    assert found.source == named(sample.name).source
    assert found.cause
    assert found.cure
    assert "{" not in (found.cause + found.cure).replace("{'", ""), "every group has its word"


@pytest.mark.parametrize("sample", WHOLE, ids=lambda sample: sample.name)
def test_what_launchers_and_collectives_say_alone(sample):
    found = told(sample.text)
    assert (found.failed, found.known, found.name) == (True, True, sample.name)


@pytest.mark.parametrize("sample", samples("beside"), ids=lambda sample: sample.name)
def test_what_is_only_worth_a_word_stands_beside_the_cause(sample):
    found = told(deepspeed_log(sample.text + OOM))
    assert found.name == "GPU out of memory"
    assert any(line.startswith(next(named(sample.name).hits(sample.text)).cause) for line in found.others)


@pytest.mark.parametrize("sample", samples("beside"), ids=lambda sample: sample.name)
def test_and_is_no_failure_by_itself(sample):
    found = told(DEEPSPEED + sample.text + FINISHED)
    assert not found.failed
    assert found.others


@pytest.mark.parametrize("sample", samples("markers"), ids=lambda sample: sample.name)
def test_markers_tell_the_phase_and_no_cause(sample):
    found = told(deepspeed_log(sample.text + "Traceback (most recent call last):\nKeyError: 3\n"))
    assert (found.known, found.cause, found.phase) == (False, "KeyError: 3", sample.mark or None)


def test_the_moment_is_told_by_the_frames_and_the_cure_is_for_it():
    found = told(deepspeed_log(OOM))
    assert (found.phase, found.moment) == ("train", "in the loss")
    assert "(Liger, or TRL's chunked_nll)" in found.cure
    assert found.lines[-1].startswith("torch.OutOfMemoryError")
    assert any("3.80 GiB of the card were reserved" in line for line in found.others)


def test_the_watchdog_of_the_other_rank_is_a_consequence_of_running_out_of_memory():
    found = told(torchrun_log(OOM))
    assert (found.rank, found.name, found.fault) == (1, "GPU out of memory", "GPU memory")
    assert any(line.startswith("rank 0: torch.distributed.DistBackendError") for line in found.others)
    assert all("only a consequence" in line for line in found.others if line.startswith("rank 0"))


def test_a_broken_pipe_after_a_kill_is_the_kill():
    lament = PEER.replace("Connection reset by peer", "Broken pipe")
    found = told(deepspeed_log(lament, code=-9))
    assert (found.rank, found.name) == (1, "killed")
    again = told(torchrun_log("step 3\n", code=-9))
    assert (again.rank, again.name) == (1, "killed")


def test_of_a_kill_the_host_memory_that_deepspeed_saw_is_told():
    sample = next(sample for sample in RANKS_OWN if sample.name == "killed")
    found = told(deepspeed_log(sample.text, code=-9))
    assert found.phase == "engine"
    assert "DeepSpeed saw 91.7 GB of host memory in use, 97.4% of all" in found.others


def test_destructors_first_in_the_file_are_passed_over():
    found = told(DESTRUCTOR + TRACEBACK + DESTRUCTOR)
    assert (found.known, found.cause) == (False, "ValueError: the loss is not a number")
    failed_build = next(s for s in samples("building") if s.name == "destructor's noise")
    assert told(failed_build.text).name == "op failed to build"


def test_of_two_ranks_that_fail_by_themselves_the_earlier_by_the_time_in_their_logs_is_the_cause():
    late = f"[2026-11-22 10:10:09,000] step 4\n{TRACEBACK}"
    early = f"[2026-11-22 10:10:02,000] step 4\n{TRACEBACK.replace('ValueError', 'KeyError')}"
    logs = [Log(name="logs/rank_0.log", text=late, moment=1.0), Log(name="logs/rank_1.log", text=early, moment=2.0)]
    found = diagnose(logs)
    assert (found.rank, found.cause.partition(":")[0]) == (1, "KeyError")
    assert found.others == ("rank 0: ValueError: the loss is not a number (only a consequence)",)


def test_without_times_the_log_that_ended_first_and_else_the_first_named():
    one, two = TRACEBACK, TRACEBACK.replace("ValueError", "KeyError")
    by_file = [Log(name="a/0/stderr.log", text=one, moment=20.0), Log(name="a/1/stderr.log", text=two, moment=10.0)]
    assert diagnose(by_file).rank == 1
    unknown = [Log(name="a/0/stderr.log", text=one), Log(name="a/1/stderr.log", text=two)]
    assert diagnose(unknown).rank == 0


def test_a_rank_per_file_where_one_only_lost_the_other():
    logs = [Log(name="20261122_rank0.log", text=PEER, moment=1.0), Log(name="20261122_rank1.log", text=OOM, moment=2.0)]
    found = diagnose(logs)
    assert (found.rank, found.name, found.moment) == (1, "GPU out of memory", "in the loss")


def test_a_rank_that_fell_silent_is_named_and_nobody_is_called_killed_without_a_sign():
    logs = [Log(name="rank_0.log", text=PEER), Log(name="rank_1.log", text="step 3\n")]
    found = diagnose(logs)
    assert (found.rank, found.name) == (1, "peer lost")


def test_the_kernel_is_believed_before_all_others():
    kernel = next(sample for sample in RANKS_OWN if sample.name == "killed by the kernel").text
    found = diagnose([Log(name="train.log", text=deepspeed_log(TRACEBACK, code=1)), Log(name="dmesg", text=kernel)])
    assert (found.name, found.fault) == ("killed by the kernel", "host memory")


def test_a_healthy_log_is_called_so():
    found = told(DEEPSPEED + FINISHED)
    assert (found.failed, found.known, found.phase, found.others) == (False, False, "train", ())
    assert not told("").failed
    assert not told("step 1\nstep 2\n").failed


def test_a_traceback_that_ended_nothing_is_no_failure():
    found = told(DEEPSPEED + TRACEBACK + FINISHED)
    assert not found.failed
    assert found.others == ("a traceback that ended nothing: ValueError: the loss is not a number",)


def test_a_loss_that_is_no_number_is_told_of_a_job_that_came_to_its_end_too():
    found = told(DEEPSPEED + "{'loss': nan, 'grad_norm': 0.1}\n" + FINISHED)
    assert not found.failed
    assert found.others[0].startswith("the loss became not a number")


@pytest.mark.parametrize("line", ["step 10 loss nan", "loss: NaN", '{"loss": NaN}', "train_loss=nan", "loss is nan"])
def test_every_spelling_of_a_loss_that_is_no_number(line):
    assert told(f"{line}\n").name == "loss not a number"
    assert not told("step 10 loss 2.1\nglossnany\n").failed


def test_what_the_card_says_before_the_error_is_the_cause():
    error = "RuntimeError: CUDA error: device-side assert triggered\n"
    bare = told(f"{error}Assertion srcIndex < srcSelectDimSize failed\n")
    assert bare.name == told(TOKEN).name == "token beyond the vocabulary"
    assert "resize_token_embeddings" in bare.cure
    assert told(error).name == "assertion on the card"


def test_a_warning_of_a_library_is_no_failure():
    assert not told("[WARNING] CUDA_HOME does not exist, unable to compile CUDA op(s)\n{'loss': 2.1}\n").failed


def test_an_exit_code_alone_is_a_failure_that_nobody_knows_more_of():
    found = told(deepspeed_log("", code=3).replace(PEER, ""))
    assert (found.failed, found.known, found.rank, found.cause) == (True, False, 1, "a rank ended with an error")
    assert "--enable_each_rank_log" in found.cure


def test_what_is_unknown_is_told_by_its_last_line():
    found = told(torchrun_log(TRACEBACK))
    assert (found.failed, found.known, found.rank) == (True, False, 1)
    assert found.cause == "ValueError: the loss is not a number"
    assert found.cure == "look at train.py, line 3, which raised it: the line is the program's own"


def test_progress_bars_do_not_hide_the_words():
    found = told("  0%|   | 0/10\r 10%|   | 1/10\rtorch.OutOfMemoryError: CUDA out of memory.\n")
    assert found.name == "GPU out of memory"


@pytest.mark.parametrize("start", ["", "\r  0%|          | 0/500 [00:00<?, ?it/s]\r"])
def test_a_rank_that_failed_in_the_line_of_a_progress_bar(start):
    ended = "W1122 10:12:44.511000 2211 torch/distributed/elastic/multiprocessing/api.py:900] Sending process 2240 "
    text = (
        "Loading checkpoint shards: 100%|##########| 3/3 [00:07<00:00,  2.41s/it]\n"
        f"{start} 12%|#2        | 61/500 [02:02<14:38,  2.00s/it][rank1]: Traceback (most recent call last):\n"
        '[rank1]:   File "/home/u/ft/train.py", line 61, in <module>\n[rank1]:     trainer.train()\n'
        f"[rank1]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 3.91 GiB.\n{ended}closing SIGTERM\n"
        "E1122 10:12:44.876000 2211 x/api.py:874] failed (exitcode: 1) local_rank: 1 (pid: 2241) of binary: python\n"
    )
    found = told(text)
    assert (found.rank, found.name, found.phase) == (1, "GPU out of memory", "train")
    assert found.lines[-1].startswith("torch.OutOfMemoryError")


def test_a_traceback_behind_a_bar_of_a_single_process_failed_while_training():
    bar = "  0%|          | 0/500 [00:00<?, ?it/s]"
    assert told(f"Loading weights: 100%|##| 3/3 [00:07<00:00]\n\r{bar}{TRACEBACK}").phase == "train"


def test_a_launcher_that_speaks_in_the_midst_of_a_traceback():
    lines = TRACEBACK.splitlines()
    found = told("\n".join([*lines[:2], "W1122 10:12:44.511000 2211 x/api.py:900] Sending process", *lines[2:], ""]))
    assert found.cause == "ValueError: the loss is not a number"


def test_a_toolkit_that_deepspeed_takes_is_no_cause():
    taken = "Installed CUDA version 12.4 does not match the version torch was compiled with 12.1"
    accepts = f"{taken} but since the APIs are compatible, accepting this combination\n"
    build = next(sample.text for sample in RANKS_OWN if sample.name == "missing header")
    assert told(accepts + build).name == "missing header"
    assert not told(accepts).failed
    assert told(f"{taken}, unable to compile cuda/cpp extensions\n").name == "CUDA toolkit"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("./run.sh: line 4:  4121 Killed                  python train.py --model x\n", "killed"),
        ("Loading checkpoint shards:  33%|###3      | 1/3 [00:07<00:14,  7.41s/it]Killed\n", "killed"),
        ("zsh: killed     python train.py\n", "killed"),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=12345.batch.\n", "Slurm's memory limit"),
        ("srun: error: node01: task 0: Out Of Memory\n", "Slurm's memory limit"),
        ("*** JOB 1 ON n1 CANCELLED AT 2026-11-22T10:12:44 DUE TO TIME LIMIT ***\n", "Slurm's time limit"),
        ("*** JOB 1 ON n1 CANCELLED AT 2026-11-22T10:12:44 ***\n", "terminated"),
        ("x.api.SignalException: Process 2211 got signal: 1\n", "hung up"),
        ("x.api.SignalException: Process 2211 got signal: 2\n", "interrupted"),
        ("x.api.SignalException: Process 2211 got signal: 15\n", "terminated"),
        ("RuntimeError: \n  CUDA Setup failed despite GPU being available.\n", "bitsandbytes has no binary"),
    ],
)
def test_what_shells_batch_systems_and_terminals_say_of_an_end(text, name):
    found = told(f"  3%|3         | 15/500 [00:20<10:59,  1.36s/it]\n{text}")
    assert (found.failed, found.known, found.name) == (True, True, name)


def test_a_time_limit_is_told_of_a_rank_that_the_launcher_saw_end_by_signal_15():
    limit = "slurmstepd: error: *** JOB 1 ON n1 CANCELLED AT 2026-11-22T10:12:44 DUE TO TIME LIMIT ***\n"
    assert told(limit + torchrun_log("step 3\n", code=-15)).name == "Slurm's time limit"


@pytest.mark.parametrize(
    ("error", "name", "cure"),
    [
        ("ModuleNotFoundError: No module named 'bitsandbytes'", "bitsandbytes missing or old", "install -U bitsandb"),
        ("ModuleNotFoundError: No module named 'trl.extras'", "module not installed", "pip install -U trl"),
        ("ModuleNotFoundError: No module named 'flash_attn'", "FlashAttention", 'attn_implementation="sdpa"'),
        ("AttributeError: 'NoneType' object has no attribute 'cget_managed_ptr'", "bitsandbytes has no binary", "BNB"),
        ("RuntimeError: Configured CUDA binary not found at /x/libbitsandbytes_cuda124.so", None, "BNB_CUDA_VERSION"),
        ("KeyboardInterrupt", "interrupted", "last checkpoint"),
    ],
)
def test_what_is_not_installed_and_who_stopped_it(error, name, cure):
    found = told(f'Traceback (most recent call last):\n  File "train.py", line 9, in <module>\n    x()\n{error}\n')
    assert found.name == (name or "bitsandbytes has no binary")
    assert cure in found.cure


def test_a_card_that_another_process_holds_is_told_with_its_number():
    sizes = "Tried to allocate 32.00 MiB. GPU 0 has a total capacity of 23.65 GiB of which 22.06 MiB is free."
    oom = f"{TRACEBACK.rpartition('ValueError')[0]}torch.OutOfMemoryError: CUDA out of memory. {sizes}"
    other, this = "Process 8812 has 20.11 GiB memory in use.", "this process has 3.51 GiB memory in use."
    found = told(f"{oom} {other} Including non-PyTorch memory, {this}\n")
    assert (found.name, found.fault) == ("card in use by another process", "GPU memory")
    assert "process 8812 has 20.11 GiB in use" in found.cause
    assert "nvidia-smi" in found.cure
    assert told(f"{oom} {other}\n").name == "GPU out of memory", "it may be this very process, seen from a container"
    assert told(f"{oom} {other.replace('20.11', '0.61')} {this}\n").name == "GPU out of memory"


def test_a_moment_that_is_all_of_its_phase_is_not_told_twice():
    text = f"Saving model checkpoint to out\n{TRACEBACK.replace(' in ', ' in save_pretrained, in ', 1)}"
    assert "save_pretrained" in text
    assert (told(text).phase, told(text).moment) == ("save", "")


def test_how_long_a_collective_was_waited_for_is_told_in_seconds_and_once():
    words = "Watchdog caught collective operation timeout: WorkNCCL(SeqNum=8, OpType=ALLREDUCE, Timeout(ms)=600000)\n"
    found = told(words)
    assert found.cause == "a collective (ALLREDUCE) did not finish within 600 s: one rank was missing"
    assert "did not finish" not in found.cure
    assert "ddp_timeout=7200" in found.cure


def test_of_many_tracebacks_a_few_are_told_and_the_others_counted():
    found = told("".join(TRACEBACK.replace("the loss", f"loss {index}") for index in range(300)))
    assert found.cause == "ValueError: loss 0 is not a number"
    assert found.others[:2] == (
        "a later traceback: ValueError: loss 1 is not a number (later)",
        "a later traceback: ValueError: loss 2 is not a number (later)",
    )
    assert found.others[MOST_OTHERS] == "191 more tracebacks, each with other words"
    assert found.others[MOST_OTHERS + 1].startswith("100 tracebacks in between were left out: of each rank the first")
    assert len(found.others) == MOST_OTHERS + 2


def test_of_many_tracebacks_that_ended_nothing_a_few_are_told_too():
    found = told("".join(TRACEBACK.replace("the loss", f"loss {index}") for index in range(50)) + FINISHED)
    assert not found.failed
    assert found.others[-1] == f"{50 - MOST_OTHERS} more tracebacks, each with other words"


@pytest.mark.parametrize(
    "around",
    [
        "\x1b[31m{}\x1b[0m",
        "Nov 23 08:00:01 box python[123]: {}",
        "2026-11-23T08:00:01.123456789Z {}",
        "2026-11-23T08:00:01.123456789Z \x1b[1;31m{}\x1b[0m",
    ],
)
@pytest.mark.parametrize("sample", [OOM, TRACEBACK], ids=["known", "unknown"])
def test_colours_and_the_times_of_who_collected_the_output_change_nothing(sample, around):
    for text in (torchrun_log(sample), deepspeed_log(sample, code=-9), accelerate_log(sample)):
        assert told("\n".join(around.format(line) for line in text.split("\n"))) == told(text)


def test_the_times_of_who_collected_the_output_say_which_rank_was_first():
    late, early = (
        "\n".join(f"2026-11-23T08:00:0{second}.123456789Z {line}" for line in TRACEBACK.splitlines())
        for second in (5, 2)
    )
    assert diagnose([Log(name="rank_0.log", text=late), Log(name="rank_1.log", text=early)]).rank == 1


LOSS = "{'loss': 1.4102, 'grad_norm': 0.61, 'learning_rate': 9.9e-05, 'epoch': 0.01}\n"
TIP = 'tip: if you see "CUDA out of memory", lower per_device_train_batch_size\n'


def test_advice_is_no_failure():
    assert not told(TIP + LOSS * 3).failed
    assert told(TIP + LOSS + "CUDA out of memory. Tried to allocate 3.91 GiB.\n").name == "GPU out of memory"
    ended = told(deepspeed_log(TIP, code=3).replace(PEER, ""))
    assert (ended.failed, ended.known) == (True, False)


def test_an_error_of_a_logger_is_no_failure():
    text = LOSS + LOGGING_ERROR + LOSS
    assert not told(text).failed
    assert told(text).phase == "train"
    assert not told(text.replace("TypeError: not all", "OSError: [Errno 28] No space left on device")).failed
    found = told(text + TRACEBACK)
    assert (found.cause, found.others) == ("ValueError: the loss is not a number", ())


def test_a_loss_that_is_spoken_of_in_advice_is_no_loss():
    assert told("hint: if loss is nan, use bf16\n" + FINISHED).others == ()
