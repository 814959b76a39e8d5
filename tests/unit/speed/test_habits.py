from speed_jobs import case

from tunekit.speed.estimate import collect_terms
from tunekit.speed.habits import Habits

CHANGES = {
    "norms, gates and residuals": Habits(rotary_bytes=0),
    "head and loss": Habits(loss_bytes=60.0),
    "unpacking 4-bit weights": Habits(dequant_bytes=23.5),
    "adapters": Habits(adapter_bytes=4),
    "attention": Habits(attention_share=0.5),
    "gathering weights": Habits(gathers=3),
    "reducing gradients": Habits(reduce_bytes=4),
    "around the step": Habits(step_seconds=1.0),
}


def test_every_habit_changes_the_cost_it_is_about_and_no_other():
    plain = seconds(Habits())
    for name, habits in CHANGES.items():
        changed = {key for key, value in seconds(habits).items() if value != plain[key]}
        assert changed == {name}, (name, changed)


def seconds(habits: Habits) -> dict[str, float]:
    # Long passes: nothing waits for the CPU to issue kernels; what travels is far more than can hide.
    asked = case("qlora", habits=habits, zero={"stage": 3}, max_seq_length=8192, loss="full")
    return {term.name: term.seconds for term in collect_terms(asked)}


def test_fused_kernels_move_less_and_are_fewer():
    from tunekit.speed.compute import elementwise, kernels

    plain, fused = case("lora"), case("lora", habits=Habits(fused=True))
    assert elementwise(fused).seconds < 0.5 * elementwise(plain).seconds
    assert kernels(fused) < kernels(plain)


def test_a_pipeline_shares_the_computation_but_waits_for_its_ends():
    from tunekit.speed.compute import matrix_products

    alone = matrix_products(case(accumulate=4)).seconds
    staged = collect_terms(case(accumulate=4, habits=Habits(stages=2)))[0].seconds
    assert staged == alone * (4 + 1) / (4 * 2)
    in_turn = collect_terms(case(accumulate=4, habits=Habits(stages=2, pipelined=False)))[0].seconds
    assert in_turn == alone
