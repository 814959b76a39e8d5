# ruff: noqa: E501 - a table
"""Rules over the training loop, saving and what tunekit does not do."""

from __future__ import annotations

from contract.rules.meeting import Fixed, Kept, in_json, no_words, refused
from contract.rules.rule import ARGUMENTS, CPU, Rule, Z, zero

LOOPED = (
    Rule(
        pain=(49,),
        what="auto_find_batch_size under ZeRO-3",
        why="The Trainer refuses it.",
        instead="`train.micro_batch_size=auto`: the plan finds it.",
        met=(Fixed(arguments={"auto_find_batch_size": False}),),
        shown=("batch_size_searched_under_three",),
    ),
    Rule(
        pain=(50,),
        what="save_only_model with the best model loaded, or resumed",
        why="The Trainer refuses it; there is nothing to go on from.",
        instead="Nothing to do.",
        met=(Fixed(arguments={"save_only_model": False, "load_best_model_at_end": False}),),
        shown=("only_the_model_saved_and_the_best_loaded",),
    ),
    Rule(
        pain=(51,),
        what="Saving what ZeRO-3 has cut up",
        why="Without gathering, every tensor in the file is empty.",
        instead="Nothing to do: tensors are gathered one by one, and the file is read back.",
        met=(Kept(test="tests/unit/worker/test_verifying.py::test_placeholders_of_zero_3_are_found"),),
        shown=("adapters_saved_from_partitions", "partitioned_weights_outside_the_engine"),
    ),
    Rule(
        pain=(52,),
        what="DeepSpeed's own activation checkpointing",
        why="Models of transformers never call it.",
        instead="`train.activation_checkpointing`.",
        met=(
            in_json("activation_checkpointing", {**zero(2), "activation_checkpointing": {"cpu_checkpointing": True}}),
            Kept(test=f"{ARGUMENTS}::test_who_recomputes_reentrantly"),
        ),
    ),
    Rule(
        pain=(53,),
        what="Reentrant checkpointing of a frozen base",
        why="Without gradients of its inputs nothing before the last layer learns.",
        instead="Nothing to do: adapters are watched, and a run that learned nothing fails.",
        met=(Kept(test="tests/unit/worker/test_verifying.py::test_an_adapter_that_did_not_move_is_no_result"),),
        shown=("checkpointing_without_gradients_of_inputs",),
    ),
    Rule(
        pain=(54,),
        what="Generation in evaluation",
        why="Ranks that stop at different lengths wait for each other for ever.",
        instead="The loss; samples are answered by all ranks together.",
        met=(no_words("train.predict_with_generate=true"), Fixed(arguments={"prediction_loss_only": True})),
    ),
    Rule(
        pain=(55,),
        what="use_cache while activations are recomputed",
        why="Shapes differ between the two passes.",
        instead="Nothing to do.",
        met=(Fixed(arguments={"use_cache": False}),),
    ),
    Rule(
        pain=(56,),
        what="Resuming with other ranks, another stage, other adapters",
        why="DeepSpeed's files belong to one layout.",
        instead="`tunekit resume` converts what can be converted and refuses the rest.",
        met=(Kept(test="tests/unit/launcher/test_resuming.py::test_every_other_key_is_refused_with_its_reason"),),
    ),
    Rule(
        pain=(57,),
        what="enable_jit_checkpoint under the deepspeed launcher",
        why="It signals one rank after the other; a collective save waits for ever.",
        instead="Nothing to do: ranks are asked together.",
        met=(Fixed(arguments={"enable_jit_checkpoint": False}),),
    ),
    Rule(
        pain=(58,),
        stack=(21,),
        what="Unknown, misspelt and removed keys; auto that nobody fills",
        why="DeepSpeed ignores what it does not know at the top level, and takes its defaults for auto.",
        instead="The nearest name, which is said.",
        met=(
            in_json("zero_optimisation", {**zero(2), "zero_optimisation": {}}),
            in_json("nebula", {**zero(2), "nebula": {"enabled": True}}),
            in_json(f"{Z}.mics_shard_size", zero(3, mics_shard_size=2)),
            in_json(f"{Z}.offload_optimizer.buffer_size", zero(2, offload_optimizer={**CPU, "buffer_size": 1})),
            in_json("gradient_allreduce_op", {**zero(2), "gradient_allreduce_op": "auto"}),
        ),
        shown=(
            "a_misspelt_section",
            "a_misspelt_clip",
            "auto_inside_zero",
            "auto_precision",
            "an_unknown_key_of_zero",
            "nebula",
            "elasticity",
            "apex",
            "mics",
            "clipping_left_to_auto",
            "batch_left_to_auto",
            "a_batch_that_does_not_add_up",
        ),
    ),
    Rule(
        pain=(59,),
        what="TRL's refusals: assistant-only loss, padding-free rows, formatting functions",
        why="They contradict each other or the data.",
        instead="`data.completion_only_loss`; rows are made by tunekit.",
        met=(
            Fixed(arguments={"assistant_only_loss": False, "padding_free": False}),
            refused("data.completion_only_loss", {"data.completion_only_loss": True, "data.format": "text"}),
        ),
    ),
    Rule(
        pain=(60,),
        what="The Trainer without DeepSpeed behind its back",
        why="Some builds of torch ignore the configuration on a CPU and train plainly.",
        instead="Nothing to do: the engine is looked at before the first step.",
        met=(Kept(test="tests/unit/worker/test_engine_check.py::test_plain_data_parallelism_is_refused"),),
    ),
    Rule(
        stack=(16, 17, 18, 20, 23),
        what="Context parallelism, target_parameters with compile, DFT and label smoothing with Ulysses, torchao offload, unsloth",
        why="Each excludes what tunekit trains with.",
        instead="Leave them out.",
        met=(
            no_words(
                "train.context_parallel=2",
                "method.target_parameters=[x]",
                "train.label_smoothing=0.1",
                "train.optimizer=torchao_cpu_offload",
                "model.backend=unsloth",
            ),
            Fixed(arguments={"label_smoothing_factor": 0.0, "loss_type": "nll"}),
        ),
    ),
)
