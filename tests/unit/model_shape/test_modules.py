from __future__ import annotations

from collections.abc import Callable

from tunekit.model_shape.modules import LinearModule, end_modules, linear_modules, tied_head
from tunekit.model_shape.shape import ModelShape

Tiny = Callable[..., ModelShape]


def test_linears_of_the_layers_in_order(tiny: Tiny) -> None:
    modules = linear_modules(tiny())
    assert [module.leaf for module in modules] == [
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    ]
    down = modules[-1]
    assert (down.path, down.into, down.out, down.count) == ("model.layers.{layer}.mlp.down_proj", 96, 64, 3)


def test_the_ends_are_there_tied_or_not(tiny: Tiny) -> None:
    table, head = end_modules(tiny("gpt_neox"))
    assert (table.path, table.into, table.out, table.is_embedding) == ("gpt_neox.embed_in", 128, 64, True)
    assert (head.path, head.into, head.out) == ("lm_head", 64, 128)
    assert tied_head(tiny()) == ()
    assert tied_head(tiny(tie_word_embeddings=True))[0].shape == (128, 64)


def test_names_match_as_peft_matches_them() -> None:
    module = LinearModule(path="model.layers.{layer}.self_attn.q_proj", into=1, out=1)
    assert module.matches("q_proj")
    assert module.matches("self_attn.q_proj")
    assert not module.matches("proj")
    assert not module.matches("attn.q_proj")
    assert LinearModule(path="lm_head", into=1, out=1).matches("lm_head")
