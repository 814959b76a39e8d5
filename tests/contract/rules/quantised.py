# ruff: noqa: E501 - a table
"""Rules over quantised bases."""

from __future__ import annotations

from contract.rules.meeting import Fixed, Kept, Rejected, Said, in_json, no_words, refused, warned
from contract.rules.rule import LLAMA_70B, MODEL, Rule, Z, zero

QUANTISED = (
    Rule(
        pain=(1,),
        what="Full fine-tuning of a quantised model",
        why="Packed weights have no gradient.",
        instead="`method.kind=qlora`, or the original weights.",
        met=(
            refused("method.quantization", {"method.kind": "full", "method.quantization": "nf4"}),
            Kept(test="tests/unit/model_shape/test_config_json.py::quantised"),
        ),
        shown=("full_training_of_packed_weights",),
    ),
    Rule(
        pain=(2,),
        stack=(13,),
        what="4-bit weights stored as another float than the engine's",
        why="DeepSpeed casts every float when it starts: packed bytes would be converted as numbers, without an error.",
        instead="Nothing to do: bytes, or the engine's type under ZeRO-3.",
        met=(
            no_words("method.quant_storage=float16"),
            Kept(test=f"{MODEL}::test_packed_bytes_are_never_stored_as_another_float_than_the_engines"),
        ),
        shown=(
            "four_bits_stored_as_bytes",
            "four_bits_stored_as_the_engines_float",
            "four_bits_stored_as_another_float",
            "four_bits_stored_as_another_float_under_three",
            "four_bits_stored_as_float32",
        ),
    ),
    Rule(
        pain=(3,),
        what="An 8-bit base under ZeRO-3",
        why="On cards its scales are not gathered with it: the loss is ten times too high.",
        instead="`method.quantization=nf4`, or `zero.preset=z2`.",
        met=(
            refused(
                "method.quantization", {"method.kind": "qlora", "method.quantization": "int8", "zero.preset": "z3"}
            ),
        ),
        cuda="right on CPU processes",
    ),
    Rule(
        pain=(4,),
        what="torch.compile of quantised layers",
        why="The Trainer refuses it; graphs break at every packed layer.",
        instead="Leave it out.",
        met=(no_words("train.torch_compile=true"), Fixed(arguments={"torch_compile": False})),
        cuda="compiling takes a card to be worth anything",
    ),
    Rule(
        pain=(5,),
        stack=(14,),
        what="A quantised base with offloaded parameters",
        why="The base is built whole on every card before it is split, so offloading it saves nothing.",
        instead="`zero.preset=z3_qlora`, or `method.kind=lora`.",
        met=(refused("zero.offload_param", {"method.kind": "qlora", "zero.preset": "z3_offload_param"}),),
        cuda="memory of a card",
    ),
    Rule(
        pain=(6,),
        what="A 4-bit base that no single card holds, under ZeRO-3",
        why="It is built whole on every card before it is split.",
        instead="A smaller model or a larger card; the plan names both.",
        met=(Rejected(said=Said(keys={"method.kind": "qlora", "zero.preset": "z3_qlora"}, model=LLAMA_70B)),),
        cuda="memory of a card",
    ),
    Rule(
        pain=(7,),
        what="A quantised base with zero_quantized_weights",
        why="Packed bytes would be quantised again as if they were numbers.",
        instead="Delete the key.",
        met=(
            in_json(f"{Z}.zero_quantized_weights", zero(3, zero_quantized_weights=True), {"method.kind": "qlora"}),
            in_json(f"{Z}.zero_quantized_nontrainable_weights", zero(3, zero_quantized_nontrainable_weights=True)),
        ),
        cuda="CUDA kernels",
    ),
    Rule(
        pain=(8,),
        what="Quantised layers kept on the CPU or the drive",
        why="They cannot be trained.",
        instead="A smaller model.",
        met=(no_words("method.llm_int8_enable_fp32_cpu_offload=true", "model.device_map=auto"),),
        cuda="needs a card to overflow",
    ),
    Rule(
        pain=(9,),
        what="fp4; plain scales where memory is tight",
        why="fp4 loses more than nf4 at the same size; scales take 0.37 bit per parameter.",
        instead="`method.quantization=nf4`, `method.double_quant=true`.",
        met=(
            warned("fp4 loses more", {"method.kind": "qlora", "method.quantization": "fp4"}),
            warned(
                "method.double_quant=true would take",
                {"method.kind": "qlora", "method.double_quant": False, "zero.preset": "z2"},
                model=LLAMA_70B,
            ),
        ),
    ),
    Rule(
        pain=(10,),
        what="QLoRA on lm_head",
        why="TRL refuses it.",
        instead="`method.modules_to_save=[lm_head]`.",
        met=(refused("method.target_modules", {"method.kind": "qlora", "method.target_modules": ["lm_head"]}),),
    ),
    Rule(
        pain=(11,),
        stack=(19,),
        what="DoRA, PiSSA, OLoRA, LoftQ and their like",
        why="They need the whole base weight at the start, which ZeRO-3 has cut up.",
        instead="LoRA with `method.use_rslora`.",
        met=(no_words("method.use_dora=true", "method.init_lora_weights=pissa"),),
    ),
    Rule(
        pain=(12,),
        what="prepare_model_for_kbit_training",
        why="It casts embeddings and norms to fp32, and the engine casts them back: a peak of gigabytes for nothing.",
        instead="Nothing to do: it is not called.",
        met=(no_words("method.prepare_for_kbit=true"),),
    ),
)
