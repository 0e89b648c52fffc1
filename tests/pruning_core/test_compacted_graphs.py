"""Networks of any shape against the same under the hard mask: equal outputs, smaller layers, and what says so."""

import json
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning_core.compaction import Compacted, CompactionError, Size, compact, describe, rebuild
from pruning_core.compaction.layers import Arrange
from pruning_core.pruner import Pruner, hard_mask

COLUMNS, PICTURE = 12, (1, 8, 8)
NOTHING_LEFT = ("nothing but constants", "no input")  # several pruners in a row may close all units


def made(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """The network with random weights, gates and running statistics."""
    torch.manual_seed(seed)
    network = build().eval()
    for module in network.modules():
        if isinstance(module, Pruner):
            nn.init.normal_(module.weight)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return network


@torch.no_grad()
def compared(network: nn.Module, input_shape: tuple[int, ...] | None = None) -> Compacted:
    """What came of it, after it has been compared with the hard-masked network, and with what its description gives."""
    columns = COLUMNS if input_shape is None else 64
    compacted = compact(network, torch.zeros(columns), torch.ones(columns), input_shape)
    x_BF = torch.randn(7, columns)
    answers = compacted.network(x_BF[:, compacted.inputs])
    for module in network.modules():
        if isinstance(module, Pruner):
            module.weight.data = hard_mask(module.weight.data, module.keep)
    torch.testing.assert_close(answers, network(x_BF.unflatten(1, input_shape or (columns,))), atol=1e-5, rtol=1e-5)
    if compacted.masked is None or "keeps its size" not in compacted.masked:
        again = rebuild(json.loads(json.dumps(describe(compacted.network))), compacted.network.state_dict())
        assert torch.equal(again(x_BF[:, compacted.inputs]), answers)
    return compacted


class Residual(nn.Module):
    """A branch with normalisation and gates of its own beside a gated trunk."""

    def __init__(self, sum_is_gated: bool = False) -> None:
        super().__init__()
        self.inputs = Pruner(COLUMNS, 5)
        self.first, self.norm, self.trunk = nn.Linear(COLUMNS, 16), nn.BatchNorm1d(16), Pruner(16, 6)
        self.branch = nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.Tanh(), Pruner(16, 5, name="branch"))
        self.sum = Pruner(16, 4) if sum_is_gated else nn.Identity()
        self.last = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.trunk(torch.relu(self.norm(self.first(self.inputs(x)))))
        return self.last(torch.sigmoid(self.sum(h + self.branch(h))))


class Picture(nn.Module):
    """Gates on pixels and channels; the closed channels are 0.5 behind the sigmoid, before a padded convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels, self.first = Pruner(64, 40), nn.Conv2d(1, 8, 3, padding=1)
        self.norm, self.channels = nn.BatchNorm2d(8), Pruner(8, 3, trailing_dims=2)
        self.second, self.more = nn.Conv2d(8, 8, 3, padding=1), Pruner(8, 5, trailing_dims=2)
        self.last = nn.Linear(8 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pixels(x.flatten(1)).view(x.size(0), 1, 8, 8)
        h = torch.sigmoid(self.channels(self.norm(self.first(x))))
        return self.last(nn.functional.max_pool2d(h + self.more(self.second(h)), 2).flatten(1))


class Attention(nn.Module):
    """Every gated column is a token."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs, self.embed, self.units = Pruner(COLUMNS, 5), nn.Linear(1, 8), Pruner(8, 4)
        self.norm, self.attention = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.wide, self.neurons, self.last = nn.Linear(8, 12), Pruner(12, 3), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.units(self.embed(self.inputs(x).unsqueeze(-1))))
        h = h + self.attention(h, h, h)[0]
        return self.last(self.neurons(torch.relu(self.wide(h.mean(1)))))


class Beside(nn.Module):
    """Branches of the gated columns side by side, the columns themselves, and one of them once more."""

    def __init__(self, branches: list[nn.Module], after: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.inputs, self.branches = Pruner(COLUMNS, 5, name="inputs"), nn.ModuleList(branches)
        self.after, self.last = after, last

    def forward(self, x: Tensor) -> Tensor:
        x = self.inputs(x)
        parts = [branch(x) for branch in self.branches]
        out: Tensor = self.last(self.after(torch.cat([x, *parts, parts[0]], dim=-1)))
        return out


class Dense(nn.Module):
    """Every convolution is given the channels of those before it; the last channels are normalised in groups."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.open = nn.Conv2d(1, 6, 3, padding=1), Pruner(6, 2, trailing_dims=2)
        self.second, self.more = nn.Conv2d(7, 6, 3, padding=1), Pruner(6, 3, trailing_dims=2)
        self.third, self.most = nn.Conv2d(13, 4, 3), Pruner(4, 2, trailing_dims=2)
        self.norm, self.last = nn.GroupNorm(2, 4), nn.Linear(4 * 9, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.cat([x, self.open(torch.relu(self.first(x)))], 1)
        h = torch.cat((h, torch.sigmoid(self.more(self.second(h)))), dim=1)
        h = nn.functional.max_pool2d(torch.relu(self.most(self.third(h))), 2)
        return self.last(self.norm(h).flatten(1))


class Binned(nn.Module):
    """Columns are binned and embedded; tensors' own methods and attributes do the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs, self.table, self.wide = Pruner(COLUMNS, 5, name="inputs"), nn.Embedding(4, 6), nn.Linear(6, 8)
        self.neurons, self.last = Pruner(8, 3), nn.Linear(8, 3)
        self.edges: Tensor
        self.register_buffer("edges", torch.tensor([-1.0, 0.0, 1.0]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.inputs(x)
        h = self.wide(self.table(torch.bucketize(x.detach(), self.edges)) * x.clamp(-2, 2).unsqueeze(-1))
        h = self.neurons(torch.relu(h)).view(x.shape[0], -1, 8)
        return self.last(h.mT.cumsum(-1).exp().log_softmax(-1).amax(-1))


class Undecided(nn.Module):
    """Asks its values which way to go."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs, self.last = Pruner(COLUMNS, 5), nn.Linear(COLUMNS, 3)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.last(self.inputs(x))
        return h if x.sum() > 0 else 2 * h


@pytest.mark.parametrize("sum_is_gated", [False, True])
def test_both_branches_of_a_sum_lose_what_they_closed(sum_is_gated: bool) -> None:
    network = made(lambda: Residual(sum_is_gated))
    compacted = compared(network)
    kept = {name: set(units) for name, units in compacted.kept.items()}
    sums = kept["sum"] if sum_is_gated else set(range(16))
    summed = (kept["trunk"] | kept["branch"]) & sums  # what both closed is 0.5 behind the sigmoid
    assert compacted.masked is None
    assert compacted.after.multiply_adds == 5 * 6 + 6 * len(summed) + 3 * len(summed)
    assert compacted.before == Size(12 * 16 + 16 + 16 * 16 + 16 + 16 * 3 + 3 + 64, 12 * 16 + 16 * 16 + 16 * 3)


def test_channels_and_pixels_of_a_picture_are_gone() -> None:
    compacted = compared(made(Picture), PICTURE)
    assert compacted.masked is None
    assert len(compacted.inputs) == 40
    assert compacted.inputs.tolist() == compacted.kept["pixels"]
    both = len(set(compacted.kept["channels"]) | set(compacted.kept["more"]))
    assert compacted.after.multiply_adds == 64 * 9 * 3 + 64 * 9 * 3 * 5 + 3 * 16 * both


def test_channels_side_by_side_are_gone_from_every_convolution() -> None:
    compacted = compared(made(Dense), PICTURE)
    assert compacted.masked is not None
    assert "cat" not in compacted.masked
    assert compacted.after.multiply_adds == 9 * (64 * 1 * 2 + 64 * 3 * 3 + 36 * 6 * 2) + 4 * 9 * 3


def test_neurons_side_by_side_are_gone() -> None:
    def build() -> nn.Module:
        wide = [nn.Sequential(nn.Linear(COLUMNS, 8), nn.Sigmoid(), Pruner(8, 2, name=f"{i}")) for i in range(2)]
        return Beside([*wide, nn.Linear(COLUMNS, 4)], nn.Identity(), nn.Linear(COLUMNS + 8 + 8 + 4 + 8, 3))

    compacted = compared(made(build))
    assert compacted.masked is None
    assert compacted.after.multiply_adds == 5 * (2 + 2 + 4) + 3 * (5 + 2 + 2 + 4 + 2)


def test_units_that_must_come_back_are_computed_by_the_layer_before_where_that_is_cheaper() -> None:
    def build(width: int, before: int) -> nn.Module:
        layers = [nn.ReLU(), Pruner(width, 4), nn.LayerNorm(width), nn.Linear(width, 3)]
        first = [nn.Linear(COLUMNS, before), nn.ReLU(), nn.Linear(before, width)]
        return nn.Sequential(Pruner(COLUMNS, 5, name="inputs"), *first, *layers)

    few = compared(made(lambda: build(width=16, before=16)))
    assert [type(layer) for layer in list(few.network)[2:]] == [nn.Linear, nn.ReLU, nn.LayerNorm, nn.Linear]
    many = compared(made(lambda: build(width=128, before=128)))
    assert [type(layer) for layer in list(many.network)[2:]] == [nn.Linear, nn.ReLU, Arrange, nn.LayerNorm, nn.Linear]
    assert many.after.multiply_adds == 5 * 128 + 128 * 4 + 128 * 3


def test_methods_and_attributes_of_tensors_can_be_described() -> None:
    assert "Pruner" not in str(compared(made(Binned)).network)


@pytest.mark.parametrize(
    ("node", "refused"),
    [
        (["n", "call_function", "attribute", [{"node": "x"}, "__class__"], {}], "attribute __class__ is not allowed"),
        (["n", "call_method", "register_hook", [{"node": "x"}], {}], "method register_hook is not allowed"),
    ],
)
def test_a_description_does_nothing_but_compute(node: list[object], refused: str) -> None:
    nodes = [["x", "placeholder", "x", [], {}], node, ["output", "output", "output", [{"node": "n"}], {}]]
    with pytest.raises(CompactionError, match=refused):
        rebuild([{"type": "graph", "layers": {}, "tensors": {}, "nodes": nodes}], {})


@pytest.mark.parametrize("of_zero", [nn.ReLU(inplace=True), nn.ELU(inplace=True), nn.Hardtanh(0.25, 2, inplace=True)])
def test_an_activation_in_place_keeps_the_constants(of_zero: nn.Module) -> None:
    def build() -> nn.Module:
        gated = [nn.Linear(COLUMNS, 8), Pruner(8, 3), of_zero, nn.LayerNorm(8), nn.Linear(8, 3)]
        return nn.Sequential(Pruner(COLUMNS, 5, name="inputs"), *gated)

    assert "keeps its size" not in str(compared(made(build)).masked)


def test_what_cannot_lose_units_is_named_and_the_rest_is_smaller() -> None:
    compacted = compared(made(Attention))
    assert compacted.masked is not None
    assert "norm (LayerNorm)" in compacted.masked
    assert compacted.after.multiply_adds < compacted.before.multiply_adds
    assert compacted.before.multiply_adds == 12 * 8 + 12 * 8 * 32 + 2 * 12 * 12 * 8 + 8 * 12 + 12 * 3


def test_a_network_that_nobody_can_trace_keeps_its_size_on_fewer_columns() -> None:
    compacted = compared(made(Undecided).double().float())
    assert compacted.masked is not None
    assert "torch.fx cannot trace Undecided" in compacted.masked
    assert compacted.inputs.tolist() == compacted.kept["inputs"]
    assert compacted.before.multiply_adds == compacted.after.multiply_adds == 36


def piece(units: int, kind: str, keep: int) -> list[nn.Module]:
    pieces: dict[str, Callable[[], nn.Module]] = {
        "gates": lambda: Pruner(units, min(keep, units - 1)),
        "norm": lambda: nn.BatchNorm1d(units),
        "relu": lambda: nn.ReLU(inplace=True),
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
        "gelu": nn.GELU,
        "dropout": nn.Dropout,
        "layer norm": lambda: nn.LayerNorm(units),
    }
    return [pieces[kind]()]


KINDS = st.sampled_from(["gates", "norm", "relu", "tanh", "sigmoid", "gelu", "dropout", "layer norm"])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(2, 9), st.lists(KINDS, max_size=4)), max_size=3),
    st.integers(1, 4),
    st.integers(0, 9),
)
def test_layers_in_any_order_answer_the_same(blocks: list[tuple[int, list[str]]], keep: int, seed: int) -> None:
    def build() -> nn.Module:
        layers: list[nn.Module] = [Pruner(COLUMNS, 5)]
        units = COLUMNS
        for wide, kinds in blocks:
            layers += [nn.Linear(units, wide), *(m for kind in kinds for m in piece(wide, kind, keep))]
            units = wide
        return nn.Sequential(*layers, nn.Linear(units, 3))

    masked = compared(made(build, seed)).masked or ""
    assert "keeps its size" not in masked or any(words in masked for words in NOTHING_LEFT)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(KINDS, max_size=3), min_size=1, max_size=2),
    st.lists(KINDS, max_size=2),
    st.integers(2, 6),
    st.integers(1, 4),
    st.integers(0, 9),
)
def test_branches_side_by_side_answer_the_same(
    branches: list[list[str]], after: list[str], wide: int, keep: int, seed: int
) -> None:
    def pieces(kinds: list[str], units: int) -> list[nn.Module]:
        return [module for kind in kinds for module in piece(units, kind, keep)]

    def build() -> nn.Module:
        units = COLUMNS + wide * (len(branches) + 1)
        of_each = [nn.Sequential(nn.Linear(COLUMNS, wide), *pieces(kinds, wide)) for kinds in branches]
        return Beside(of_each, nn.Sequential(*pieces(after, units)), nn.Linear(units, 3))  # type: ignore[arg-type]

    masked = compared(made(build, seed)).masked or ""
    assert "keeps its size" not in masked or any(words in masked for words in NOTHING_LEFT)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.sampled_from(["gates", "norm", "relu", "sigmoid", "pool", "conv", "depthwise", "group norm"]), max_size=6
    ),
    st.integers(0, 1), st.booleans(), st.integers(0, 9),
)  # fmt: skip
def test_convolutions_in_any_order_answer_the_same(kinds: list[str], padding: int, pixels: bool, seed: int) -> None:
    def build() -> nn.Module:
        pieces: dict[str, Callable[[], nn.Module]] = {
            "gates": lambda: Pruner(4, 2, trailing_dims=2),
            "norm": lambda: nn.BatchNorm2d(4),
            "relu": nn.ReLU,
            "sigmoid": nn.Sigmoid,
            "depthwise": lambda: nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False),
            "group norm": lambda: nn.GroupNorm(2, 4),
            "pool": lambda: nn.MaxPool2d(2, ceil_mode=True),
            "conv": lambda: nn.Conv2d(4, 4, 3, padding=1),
        }
        first: list[nn.Module] = [nn.Flatten(), Pruner(64, 20), nn.Unflatten(1, PICTURE)] if pixels else []
        layers = [*first, nn.Conv2d(1, 4, 3, padding=padding), *(pieces[kind]() for kind in kinds)]
        units = nn.Sequential(*layers).eval()(torch.zeros(1, *PICTURE)).numel()
        return nn.Sequential(*layers, nn.Flatten(), Pruner(units, 3), nn.Linear(units, 3))

    masked = compared(made(build, seed), PICTURE).masked or ""
    assert "keeps its size" not in masked or any(words in masked for words in NOTHING_LEFT)
