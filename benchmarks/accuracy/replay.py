"""The allocations of training steps, in the order of transformers' code, replayed on torch's caching allocator.

Nothing here is fitted: every tensor is one that the modelling code, PEFT or the loss makes, and lives as long as there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from accuracy.allocator import Block, CachingAllocator
from accuracy.program import Program

Saved = dict[str, Block]


@dataclass(slots=True)
class Replay:
    """Training steps on an allocator."""

    program: Program
    memory: CachingAllocator
    gradients: list[Block] = field(default_factory=list)
    states: list[Block] = field(default_factory=list)

    def run(self) -> None:
        """All steps. Raises OutOfMemoryError."""
        for tokens in self.program.lengths or (self.program.tokens,) * self.program.steps:
            self.program = replace(self.program, tokens=tokens)
            self._forward_and_backward()
            self._optimizer()

    def _forward_and_backward(self) -> None:
        program = self.program
        ids = [self.memory.take(8 * program.tokens) for _ in range(3)]
        hidden = self.new(program.residual * program.size.hidden)
        layers: list[tuple[Block, Saved, Block]] = []
        for _ in range(program.layers):
            saved, output = self.forward(keep=not program.checkpointing)
            layers.append((hidden, saved, output))
            hidden = output
        gradient = self.loss(hidden)
        held: list[Block] = []
        for given, saved, _ in reversed(layers):
            again = self.forward(keep=True) if program.checkpointing else None
            following = self.backward(again[0] if again else saved, gradient)
            done = [gradient, given]
            if program.holds_inputs:
                held += done
            else:
                self.drop(*done)
            if again:
                self.drop(again[1])
            if program.full and program.ranks > 1:
                self._share_gradients(self._layer_elements())
            gradient = following
        if program.full:
            self._share_gradients(program.ends)
        self.drop(gradient, hidden, *held, *ids)

    def _layer_elements(self) -> int:
        size = self.program.size
        feed = (3 if size.gated else 2) * size.ffn
        return size.hidden * (2 * size.queries + 2 * size.values + feed)

    def _share_gradients(self, elements: int) -> None:
        whole = self.memory.take(2 * elements)
        if self.program.ranks == 1:
            self.gradients.append(whole)
            return
        self.gradients.append(self.memory.take(self.program.gradient_bytes * elements // self.program.ranks))
        self.drop(whole)

    def _optimizer(self) -> None:
        if not self.states and self.program.state_copies:
            each = self.program.state_copies / 2
            self.states = [self.memory.take(int(one.size * each)) for one in self.gradients for _ in range(2)]
        temporaries = [self.memory.take(int(each.size * self.program.step_copies)) for each in self.gradients]
        self.drop(*temporaries, *self.gradients)
        self.gradients = []

    def new(self, each: float) -> Block:
        """A tensor of so many bytes per token."""
        return self.memory.take(int(each * self.program.tokens))

    def drop(self, *blocks: Block) -> None:
        """Tensors nobody needs any more."""
        for block in blocks:
            self.memory.give(block)

    def put(self, saved: Saved, name: str, block: Block, *, keep: bool) -> None:
        """Keep a tensor, or let it go."""
        if keep:
            saved[name] = block
        else:
            self.drop(block)

    def forward(self, *, keep: bool) -> tuple[Saved, Block]:
        """One layer: what autograd saves of it, if asked to, and its output."""
        size = self.program.size
        saved: Saved = {}
        normed = self.norm("norm 1", saved)
        for name, width in (("q", size.queries), ("k", size.values), ("v", size.values)):
            saved[name] = self.linear(name, size.hidden, width, saved)
        self.put(saved, "input 1", normed, keep=self._shares("q", "k", "v"))
        for name, width in (("q", size.queries), ("k", size.values)):
            saved[name] = self.rotated(saved[name], width)
        if self.program.repeats_values:
            for name in ("k", "v"):
                wide = self.new(2 * size.queries)
                self.drop(saved[name])
                saved[name] = wide
        if self.program.scores:
            passing = self.new(self.program.scores)
            saved["scores"] = self.new(self.program.scores)
            self.drop(passing)
        saved["attention"] = self.new(2 * size.queries)
        saved["statistics"] = self.new(4 * size.heads)
        projected = self.linear("o", size.queries, size.hidden, saved)
        middle = self.new(self.program.residual * size.hidden)
        self.drop(projected)
        output = self._mlp(middle, saved)
        if not keep:
            self.drop(*saved.values())
            saved = {}
        return saved, output

    def _mlp(self, middle: Block, saved: Saved) -> Block:
        size = self.program.size
        normed = self.norm("norm 2", saved)
        saved["gate"] = self.linear("gate", size.hidden, size.ffn, saved)
        if size.gated:
            saved["act"] = self.new(2 * size.ffn)
            saved["up"] = self.linear("up", size.hidden, size.ffn, saved)
        self.put(saved, "input 2", normed, keep=self._shares("gate", "up"))
        product = self.new(2 * size.ffn)
        down = self.linear("down", size.ffn, size.hidden, saved)
        self.put(saved, "product", product, keep=self._shares("down"))
        output = self.new(self.program.residual * size.hidden)
        self.drop(down, middle)
        return output

    def _shares(self, *names: str) -> bool:
        """Whether the input of these projections is kept for their weights."""
        own = self.program.dropout or self.program.wide_adapters
        return self.program.full or (not own and bool(self.program.adapted & set(names)))

    def norm(self, name: str, saved: Saved) -> Block:
        """RMSNorm as transformers writes it, or as one kernel."""
        hidden = self.program.size.hidden
        if self.program.fused_norms:
            return self.new(2 * hidden)
        saved[name] = self.new(4 * hidden)
        self.drop(self.new(4 * hidden))
        scaled = self.new(4 * hidden)
        cast = self.new(2 * hidden)
        self.drop(scaled)
        result = self.new(2 * hidden)
        self.put(saved, f"{name} cast", cast, keep=self.program.full)
        return result

    def norm_back(self, name: str, saved: Saved, gradient: Block) -> Block:
        """Through a norm and into the residual stream."""
        hidden = self.program.size.hidden
        if self.program.fused_norms:
            result = self.new(2 * hidden)
            self.drop(gradient)
        else:
            result = self._norm_back_in_parts(name, saved, gradient)
        total = self.new(self.program.residual * hidden)
        self.drop(result)
        return total

    def _norm_back_in_parts(self, name: str, saved: Saved, gradient: Block) -> Block:
        hidden = self.program.size.hidden
        weighed = self.new(2 * hidden)
        self.drop(gradient)
        if f"{name} cast" in saved:
            self.drop(saved.pop(f"{name} cast"))
        wide = self.new(4 * hidden)
        self.drop(weighed)
        first = self.new(4 * hidden)
        self.drop(self.new(4 * hidden), wide)
        second = self.new(4 * hidden)
        total = self.new(4 * hidden)
        self.drop(first, second, saved.pop(name))
        result = self.new(2 * hidden)
        self.drop(total)
        return result

    def rotated(self, block: Block, width: int) -> Block:
        """Rotary positions: x cos + rotate(x) sin."""
        turned = self.new(2 * width)
        half = self.new(width)
        other = self.new(2 * width)
        self.drop(half)
        sine = self.new(2 * width)
        self.drop(other)
        result = self.new(2 * width)
        self.drop(turned, sine, block)
        return result

    def linear(self, name: str, into: int, out: int, saved: Saved) -> Block:
        """A projection, with its adapter where it has one."""
        if self.program.dequantises:
            self.drop(self.memory.take(2 * into * out))
        result = self.new(2 * out)
        return self._adapter(name, result, into, out, saved) if name in self.program.adapted else result

    def _adapter(self, name: str, result: Block, into: int, out: int, saved: Saved) -> Block:
        """LoRA beside a projection: cast, dropout, two matrices, a factor and the sum."""
        if self.program.dequantises:
            copy = self.new(2 * out)
            self.drop(result)
            result = copy
        width = 4 if self.program.wide_adapters and not self.program.autocast else 2
        taken = self._adapter_input(name, into, saved)
        if taken is not None:
            saved[f"{name} input"] = taken
        saved[f"{name} inner"] = self.new(width * self.program.rank)
        outer = self.new(width * out)
        scaled = self.new(width * out)
        self.drop(outer)
        total = self.new(width * out)
        self.drop(scaled, result)
        if width == 4:
            narrow = self.new(2 * out)
            self.drop(total)
            total = narrow
        return total

    def _adapter_input(self, name: str, into: int, saved: Saved) -> Block | None:
        program = self.program
        taken = self.new(4 * into) if program.wide_adapters else None
        if program.dropout:
            saved[f"{name} mask"] = self.new(into)
            dropped = self.new((4 if taken else 2) * into)
            if taken is not None:
                self.drop(taken)
            taken = dropped
        if taken is not None and program.wide_adapters and program.autocast:
            narrow = self.new(2 * into)
            self.drop(taken)
            taken = narrow
        return taken

    def linear_back(self, name: str, gradient: Block, into: int, out: int, saved: Saved) -> Block:
        """The gradient of a projection's input; that of its output goes."""
        program = self.program
        side = self._adapter_back(name, into, out, saved) if name in program.adapted else None
        weight = self.memory.take(2 * into * out) if program.dequantises else None
        result = self.new(2 * into)
        if weight is not None:
            self.drop(weight)
        if program.full and program.ranks == 1:
            self.gradients.append(self.memory.take(program.gradient_bytes * into * out))
        self.drop(gradient)
        return result if side is None else self.add(result, side)

    def _adapter_back(self, name: str, into: int, out: int, saved: Saved) -> Block:
        scaled = self.new(2 * out)
        inner = self.new(2 * self.program.rank)
        self.drop(scaled)
        side = self.new(2 * into)
        self.drop(inner)
        if self.program.dropout:
            back = self.new(2 * into)
            self.drop(side)
            side = back
        self.drop(*(saved.pop(key) for key in (f"{name} mask", f"{name} input", f"{name} inner") if key in saved))
        return side

    def add(self, one: Block, other: Block) -> Block:
        """The sum of two gradients."""
        total = self.memory.take(one.size)
        self.drop(one, other)
        return total

    def backward(self, saved: Saved, gradient: Block) -> Block:
        """One layer back: the gradient of its input. `gradient` stays alive."""
        flow = self._back_of_mlp(saved)
        middle = self.norm_back("norm 2", saved, flow)
        flow = self._back_of_attention(saved)
        result = self.norm_back("norm 1", saved, flow)
        self.drop(middle, *saved.values())
        return result

    def _back_of_mlp(self, saved: Saved) -> Block:
        size = self.program.size
        product = self.linear_back("down", self.new(2 * size.hidden), size.ffn, size.hidden, saved)
        self._let_go(saved, "product")
        if not size.gated:
            gate = self.new(2 * size.ffn)
            self.drop(product, saved.pop("gate"))
            flow = self.linear_back("gate", gate, size.hidden, size.ffn, saved)
        else:
            act, up = self.new(2 * size.ffn), self.new(2 * size.ffn)
            self.drop(product, saved.pop("act"), saved.pop("up"))
            first = self.linear_back("up", up, size.hidden, size.ffn, saved)
            gate = self.new(2 * size.ffn)
            self.drop(act, saved.pop("gate"))
            flow = self.add(first, self.linear_back("gate", gate, size.hidden, size.ffn, saved))
        self._let_go(saved, "input 2")
        return flow

    def _let_go(self, saved: Saved, name: str) -> None:
        if name in saved:
            self.drop(saved.pop(name))

    def _back_of_attention(self, saved: Saved) -> Block:
        size = self.program.size
        flow = self.linear_back("o", self.new(2 * size.hidden), size.queries, size.hidden, saved)
        if "scores" in saved:
            first = self.new(self.program.scores)
            second = self.new(self.program.scores)
            self.drop(first, second, saved.pop("scores"))
        partial = self.new(4 * size.queries)
        back = {name: self.new(2 * size.queries) for name in ("q", "k", "v")}
        if size.values != size.queries:
            for name in ("k", "v"):
                summed = self.new(2 * size.values)
                self.drop(back[name])
                back[name] = summed
        self.drop(partial, flow, *(saved.pop(name) for name in ("q", "k", "v", "attention", "statistics")))
        total = self.linear_back("v", back["v"], size.hidden, size.values, saved)
        for name, width in (("k", size.values), ("q", size.queries)):
            turned = self.rotated(back[name], width)
            total = self.add(total, self.linear_back(name, turned, size.hidden, width, saved))
        self._let_go(saved, "input 1")
        return total

    def loss(self, hidden: Block) -> Block:
        """Final norm, head and loss with its backward: the gradient of the last layer's output."""
        saved: Saved = {}
        normed = self.norm("norm", saved)
        flow = self._loss_over_chunks() if self.program.logits == "none" else self._loss_of_all_logits()
        self.drop(normed)
        result = self.norm_back("norm", saved, flow)
        self.drop(*saved.values())
        return result

    def _loss_over_chunks(self) -> Block:
        size, vocab, tokens = self.program.size, self.program.vocab, self.program.tokens
        flow = self.new(2 * size.hidden)
        chunk = min(tokens, 2 ** max(0, (tokens * size.hidden // max(1, vocab)).bit_length()))
        self.drop(self.memory.take(2 * chunk * vocab), self.memory.take(4 * chunk * vocab))
        return flow

    def _loss_of_all_logits(self) -> Block:
        program, vocab = self.program, self.program.vocab
        logits, wide = self.new(2 * vocab), self.new(4 * vocab)
        if program.logits == "early":
            self.drop(logits)
        shifts = program.logits != "current"
        scored = self.memory.take(4 * max(1, program.tokens - program.rows) * vocab) if shifts else wide
        softmax = scored if program.fused_loss else self.memory.take(scored.size)
        if shifts and softmax is not scored:
            self.drop(scored)
        if program.logits != "early":
            self.drop(logits)
        if softmax is not wide:
            self.drop(wide)
        return self._back_of_logits(softmax)

    def _back_of_logits(self, softmax: Block) -> Block:
        program, vocab = self.program, self.program.vocab
        scores = softmax
        if not program.fused_loss:
            likelihood = self.memory.take(softmax.size)
            scores = self.memory.take(softmax.size)
            self.drop(likelihood, softmax)
        if program.logits != "current":
            whole = self.new(4 * vocab)
            self.drop(scores)
            scores = whole
        narrow = self.new(2 * vocab)
        self.drop(scores)
        flow = self.new(2 * program.size.hidden)
        self.drop(narrow)
        return flow
