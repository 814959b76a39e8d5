# ruff: noqa: E501 - a table
"""Rules over stages, offload and where things rest."""

from __future__ import annotations

from contract.rules.meeting import Kept, in_json, no_words, refused, warned
from contract.rules.rule import CPU, LLAMA_8B, MODEL, NVME, Rule, Z, zero

PLACED = (
    Rule(
        pain=(13, 14),
        what="A device map",
        why="ZeRO-3 refuses one; `auto` in two processes spreads each model over both cards.",
        instead="Nothing to do: each rank has its own card.",
        met=(no_words("model.device_map=auto"), Kept(test=f"{MODEL}::test_zero_3_never_gets_a_device_map")),
        shown=("device_map_under_three",),
    ),
    Rule(
        pain=(15,),
        stack=(2,),
        what="offload_param below stage 3",
        why="DeepSpeed ignores it without a word.",
        instead="`zero.stage=3`.",
        met=(
            refused("zero.offload_param", {"zero.stage": 2, "zero.offload_param": "cpu"}),
            in_json(f"{Z}.offload_param", zero(2, offload_param=CPU)),
        ),
        shown=("parameter_offload_under_two", "parameter_offload_under_three"),
    ),
    Rule(
        pain=(16,),
        what="offload_optimizer to NVMe below stage 3",
        why="Nothing is ever written to the drive.",
        instead="`zero.stage=3`, or `zero.offload_optimizer=cpu`.",
        met=(
            refused(
                "zero.offload_optimizer", {"zero.stage": 2, "zero.offload_optimizer": "nvme", "zero.nvme_path": "/n"}
            ),
            in_json(f"{Z}.offload_optimizer.device", zero(2, offload_optimizer=NVME)),
        ),
        shown=("nvme_under_two",),
    ),
    Rule(
        pain=(17,),
        what="offload_optimizer under stage 0",
        why="There are no partitions to offload, and the CPU optimizer is asked for all the same.",
        instead="`zero.stage=2`.",
        met=(
            refused("zero.offload_optimizer", {"zero.stage": 0, "zero.offload_optimizer": "cpu"}),
            in_json(f"{Z}.offload_optimizer", zero(0, offload_optimizer=CPU)),
        ),
        shown=("offload_under_zero",),
    ),
    Rule(
        pain=(18,),
        what="NVMe without a folder, or without libaio",
        why="DeepSpeed asserts after the model is loaded.",
        instead="`zero.nvme_path=/path/on/nvme`; `tunekit doctor` looks for the headers.",
        met=(
            refused("zero.nvme_path", {"zero.stage": 3, "zero.offload_param": "nvme"}),
            in_json(f"{Z}.offload_param.nvme_path", zero(3, offload_param={"device": "nvme"})),
        ),
    ),
    Rule(
        pain=(19,),
        stack=(1,),
        what="A share of the optimizer (ratio) below stage 3, or with Lion",
        why="Refused after the start; the share on the card is stepped by AdamW.",
        instead="`zero.stage=3` with `train.optimizer=adamw`.",
        met=(
            refused(
                "zero.offload_ratio", {"zero.stage": 2, "zero.offload_optimizer": "cpu", "zero.offload_ratio": 0.5}
            ),
            in_json(f"{Z}.offload_optimizer.ratio", zero(2, offload_optimizer={**CPU, "ratio": 0.5})),
            refused(
                "train.optimizer",
                {
                    "method.kind": "full",
                    "zero.stage": 3,
                    "zero.offload_optimizer": "cpu",
                    "zero.offload_ratio": 0.5,
                    "train.optimizer": "lion",
                },
            ),
        ),
        shown=("ratio_under_two", "a_share_of_lion_offloaded"),
    ),
    Rule(
        pain=(20,),
        stack=(6,),
        what="ZenFlow without CPU offload, with summed gradients, or under stage 1 and 2",
        why="It splits Adam between card and CPU; DeepSpeed 0.19.8 scrambles the weights under stages 1 and 2.",
        instead="`zero.preset=z2_offload`.",
        met=(
            in_json(f"{Z}.zenflow", zero(3, zenflow={"topk_ratio": 0.1})),
            refused("zero.preset", {"method.kind": "full", "zero.preset": "z2_zenflow"}),
            in_json(
                "gradient_allreduce_op", {**zero(3, zenflow={}, offload_optimizer=CPU), "gradient_allreduce_op": "sum"}
            ),
        ),
        shown=("sums_with_zenflow",),
    ),
    Rule(
        pain=(21,),
        what="Stages above 3, legacy_stage1, elastic_checkpoint under stage 3",
        why="The engine refuses or no longer supports them.",
        instead="Delete them; `tunekit resume` changes the number of GPUs.",
        met=(
            in_json(f"{Z}.stage", zero(4)),
            in_json(f"{Z}.legacy_stage1", zero(1, legacy_stage1=True)),
            in_json(f"{Z}.elastic_checkpoint", zero(3, elastic_checkpoint=True)),
        ),
        shown=("a_stage_beyond_three",),
    ),
    Rule(
        pain=(22,),
        what="compute_grad_norm false with stage 3, clipping or offload",
        why="The norm is needed there.",
        instead="Delete it.",
        met=(
            in_json(f"{Z}.compute_grad_norm", zero(3, compute_grad_norm=False)),
            in_json(f"{Z}.compute_grad_norm", {**zero(2, compute_grad_norm=False), "gradient_clipping": 1.0}),
        ),
        shown=("no_norm_under_three",),
    ),
    Rule(
        pain=(23,),
        what="prescale_gradients or a predivide factor with reduce_scatter",
        why="ZeRO asserts at the start.",
        instead="Delete them.",
        met=(
            in_json("prescale_gradients", {**zero(2), "prescale_gradients": True}),
            in_json("prescale_gradients", {**zero(3), "gradient_predivide_factor": 2.0}),
        ),
        shown=("gradients_scaled_before_they_are_scattered",),
    ),
    Rule(
        pain=(24,),
        what="gradient_allreduce_op sum under stage 3",
        why="Not supported there.",
        instead="mean.",
        met=(in_json("gradient_allreduce_op", {**zero(3), "gradient_allreduce_op": "sum"}),),
        shown=("sums_under_three",),
    ),
    Rule(
        pain=(25,),
        what="managed_gradient_accumulation false with overlap_comm outside stage 2",
        why="The engine asserts.",
        instead="Delete it.",
        met=(
            in_json(
                "managed_gradient_accumulation", {**zero(1, overlap_comm=True), "managed_gradient_accumulation": False}
            ),
        ),
        shown=("own_accumulation_with_overlap",),
    ),
    Rule(
        pain=(26,),
        stack=(11,),
        what="ZeRO++ (quantised weights, gradients, hpZ)",
        why="Read under stage 3 only, in CUDA kernels only, and made for several machines.",
        instead="Delete them, or expect little.",
        met=(
            in_json(f"{Z}.zero_quantized_weights", zero(2, zero_quantized_weights=True)),
            in_json(f"{Z}.zero_quantized_gradients", zero(2, zero_quantized_gradients=True)),
            in_json(f"{Z}.zero_hpz_partition_size", zero(2, zero_hpz_partition_size=2)),
            in_json(f"{Z}.zero_quantized_weights", zero(3, zero_quantized_weights=True), on="cpu"),
            warned("keeps a second copy", json=zero(3, zero_hpz_partition_size=2)),
            warned("rounds gradients", json=zero(3, zero_quantized_gradients=True)),
        ),
        shown=("quantised_weights_under_two",),
        cuda="what its kernels do",
    ),
    Rule(
        pain=(27,),
        stack=(9,),
        what="DeepSpeed's own experts, AutoTP, expert parallelism",
        why="Models of transformers are trained data-parallel; DeepSpeed knows Mixtral and Qwen MoE as leaves by itself.",
        instead="Delete the sections.",
        met=(
            in_json("tensor_parallel", {**zero(2), "tensor_parallel": {"autotp_size": 2}}),
            in_json("expert_parallel", {**zero(2), "expert_parallel": {}}),
        ),
    ),
    Rule(
        pain=(28,),
        what="Locking most of the RAM (pin_memory)",
        why="Locked pages cannot be swapped, and torch rounds each block up to a power of two.",
        instead="Leave `zero.pin_memory` out.",
        met=(Kept(test="tests/unit/planner/test_advice.py::test_locking_most_of_the_ram_is_pointed_out"),),
        cuda="pinned memory",
    ),
    Rule(
        pain=(29,),
        what="Buckets of 5e8 elements on small cards",
        why="Each takes a gigabyte and more.",
        instead="Leave the sizes out.",
        met=(warned("takes 954 MiB of every card", {"zero.preset": "z2", "zero.reduce_bucket_size": 500_000_000}),),
    ),
    Rule(
        pain=(30,),
        what="Stage 3 where stage 2 fits",
        why="Gathering every layer over PCIe costs time.",
        instead="The preset that the warning names.",
        met=(warned("fits too and is", {"zero.preset": "z3", "train.micro_batch_size": 1}, model=LLAMA_8B),),
        cuda="speed of a link",
    ),
    Rule(
        pain=(31,),
        what="Stage 1 or 2 without an optimizer",
        why="The engine asserts.",
        instead="Nothing to do: there always is one.",
        met=(no_words("train.optimizer=none"),),
        shown=("zero_without_an_optimizer",),
    ),
    Rule(
        pain=(32,),
        what="FSDP beside DeepSpeed",
        why="The Trainer refuses both.",
        instead="Leave it out.",
        met=(no_words("train.fsdp=full_shard"),),
        shown=("fsdp_beside_deepspeed",),
    ),
    Rule(
        stack=(5,),
        what="SuperOffload below stage 3, with NVMe, without CUDA, or with clipping",
        why="Ignored, refused, or without its gain.",
        instead="Stage 3, CPU, `train.max_grad_norm=0`.",
        met=(
            in_json(
                f"{Z}.offload_optimizer.super_offload", {**zero(2, offload_optimizer={**CPU, "super_offload": True})}
            ),
            in_json(
                f"{Z}.offload_optimizer.super_offload", {**zero(3, offload_optimizer={**NVME, "super_offload": True})}
            ),
            in_json(
                f"{Z}.offload_optimizer.super_offload",
                {**zero(3, offload_optimizer={**CPU, "super_offload": True})},
                on="cpu",
            ),
            warned(
                "steps beside backward only",
                {"method.kind": "full"},
                json=zero(3, offload_optimizer={**CPU, "super_offload": True}),
            ),
        ),
        shown=("super_offload_under_two", "super_offload_without_cuda"),
    ),
    Rule(
        stack=(7, 8),
        what="DeepCompile, pipelines",
        why="The Trainer never calls engine.compile(), and models are no pipelines.",
        instead="Delete the sections.",
        met=(
            in_json("compile", {**zero(3), "compile": {"deepcompile": True}}),
            in_json("pipeline", {**zero(1), "pipeline": {}}),
        ),
        cuda="CUDA only",
    ),
)
