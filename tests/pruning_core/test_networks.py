"""The built-in network's shortcut computes what its `forward` and autograd compute; what a `NetworkSpec` says."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.networks import GATED_MLP, GatedMLP, NetworkSpec, Share
from pruning_core.pruner import Pruner
from pruning_core.replicas import Replicas, one_replica
from pruning_core.training import train

HIDDEN = [(), (16,), (16, 8)]
PRUNED = [(4, ()), (4, (5,)), (None, (0.5, 3)), (4, (None, 3)), (4, (0.25, 0.25))]


class Plain(GatedMLP):
    """The default network without its shortcut: a subclass might have changed `forward`."""


def replicas_of(
    network: type[GatedMLP], hidden: tuple[int, ...], keep: int | None = 4, prune: Sequence[Share] = ()
) -> Replicas:
    def build() -> nn.Module:
        made = network(12, 3, keep, hidden, 1.0, prune).double()
        for module in made.modules():
            if isinstance(module, Pruner):
                nn.init.normal_(module.weight)
        return made

    return Replicas(build, range(5))


def rows(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_stacked_forward_equals_vmap_over_forward(hidden: tuple[int, ...]) -> None:
    fast, plain = replicas_of(GatedMLP, hidden), replicas_of(Plain, hidden)
    x_RBF, x_BF = rows(5, 7, 12), rows(9, 12)
    torch.testing.assert_close(fast.logits(x_RBF), plain.logits(x_RBF))
    torch.testing.assert_close(fast.logits(x_BF, shared=True), plain.logits(x_BF, shared=True))
    torch.testing.assert_close(fast.logits(x_BF, fast.hard_masks(), True), plain.logits(x_BF, plain.hard_masks(), True))


@pytest.mark.parametrize("hidden", HIDDEN)
def test_its_gradients_are_those_of_autograd(hidden: tuple[int, ...]) -> None:
    fast, plain = replicas_of(GatedMLP, hidden), replicas_of(Plain, hidden)
    x_RBF, to_logits_RBC = rows(5, 7, 12), rows(5, 7, 3)
    (logits, backward), (expected_logits, autograd) = fast.logits_and_backward(x_RBF), plain.logits_and_backward(x_RBF)
    torch.testing.assert_close(logits, expected_logits)
    gradients, expected = backward(to_logits_RBC), autograd(to_logits_RBC)
    assert gradients.keys() == expected.keys() == fast.parameters.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name])


@pytest.mark.parametrize(("keep", "prune"), PRUNED)
def test_with_gates_behind_hidden_layers_it_computes_the_same(keep: int | None, prune: Sequence[Share]) -> None:
    fast, plain = replicas_of(GatedMLP, (16, 8), keep, prune), replicas_of(Plain, (16, 8), keep, prune)
    x_RBF, x_BF, to_logits_RBC = rows(5, 7, 12), rows(9, 12), rows(5, 7, 3)
    torch.testing.assert_close(fast.logits(x_BF, fast.hard_masks(), True), plain.logits(x_BF, plain.hard_masks(), True))
    (logits, backward), (expected_logits, autograd) = fast.logits_and_backward(x_RBF), plain.logits_and_backward(x_RBF)
    torch.testing.assert_close(logits, expected_logits)
    gradients, expected = backward(to_logits_RBC), autograd(to_logits_RBC)
    assert gradients.keys() == expected.keys() == fast.parameters.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name])


def test_gates_behind_a_hidden_layer_multiply_what_it_computes() -> None:
    network = GatedMLP(12, 3, None, (16, 8), 1.0, (None, 3))
    (pruner,) = (module for module in network.modules() if isinstance(module, Pruner))
    first, second, last = network.layers
    h = torch.relu(second(torch.relu(first(x := torch.randn(5, 12)))))
    torch.testing.assert_close(network(x), last(pruner(h)))
    assert (pruner.name, pruner.keep) == ("hidden2", 3)


@pytest.mark.parametrize(
    ("prune", "words"), [((1, 1, 1), "has 3 entries, and there are 2 layers"), ((16,), "keep must lie in 1 ... 15")]
)
def test_more_pruners_than_layers_and_nothing_to_prune_are_refused(prune: Sequence[Share], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        GatedMLP(12, 3, 4, (16, 8), 1.0, prune)


@pytest.mark.parametrize("network", [GatedMLP, Plain])
def test_no_gradient_of_pruner_weights_that_need_none(network: type[GatedMLP]) -> None:
    replicas = replicas_of(network, (16,))
    replicas.pruner_weights[0].requires_grad_(False)
    gradients = replicas.logits_and_backward(rows(5, 7, 12))[1](rows(5, 7, 3))
    assert gradients.keys() == replicas.parameters.keys() - {"pruner.weight"}


def test_a_subclass_is_taken_at_its_own_forward() -> None:
    class Doubled(GatedMLP):
        def forward(self, x_BF: Tensor) -> Tensor:
            return 2 * super().forward(x_BF)

    x_RBF = rows(5, 7, 12)
    once, twice = replicas_of(GatedMLP, (16,)), replicas_of(Doubled, (16,))
    torch.testing.assert_close(twice.logits(x_RBF), 2 * once.logits(x_RBF))


CONFIG = TrialConfig(keep=4, hidden=(6, 5), epochs=2)


class Picture(nn.Module):
    """Takes rows as pictures of 3 x 4, and nothing else; gates on the channels of a convolution."""

    def __init__(self, config: TrialConfig, features: int, classes: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 6, kernel_size=3, padding=1)
        self.channels = Pruner(6, keep=2, trailing_dims=2)
        self.last = nn.Linear(6 * features, classes)

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1:] == (1, 3, 4)
        return self.last(self.channels(torch.relu(self.convolution(x))).flatten(1))


class Channels(Picture):
    """The same for rows of any shape, which can be traced."""

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.channels(torch.relu(self.convolution(x))).flatten(1))


class FlatPicture(Picture):
    """The same from flat rows."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.reshape(-1, 1, 3, 4))


@pytest.mark.parametrize("strategy", ["stepped", "markov"])
def test_a_network_gets_its_rows_in_the_shape_that_it_takes(strategy: str, data: Dataset) -> None:
    config = CONFIG.model_copy(update={"strategy": strategy})
    shaped = train(config, data, range(2), NetworkSpec(Picture, input_shape=(1, 3, 4)), "cpu")
    flat = train(config, data, range(2), FlatPicture, "cpu")
    for record, other in zip(shaped, flat, strict=True):
        assert record.total_loss.tolist() == other.total_loss.tolist()
        assert record.pruned_accuracy.tolist() == other.pruned_accuracy.tolist()
    assert shaped.accuracy(data.validation) == flat.accuracy(data.validation)


def test_a_function_becomes_a_spec_and_a_spec_stays_with_its_run(data: Dataset) -> None:
    assert train(CONFIG, data, [0], FlatPicture, "cpu").network == NetworkSpec(FlatPicture)
    assert train(CONFIG, data, [0], device="cpu").network is GATED_MLP


def test_the_widths_of_the_built_in_network_are_those_of_its_layers() -> None:
    network = GATED_MLP.build(CONFIG, 12, 3)
    widths = GATED_MLP.widths(CONFIG, 12, 3)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    assert widths == (layers[0].in_features, *(layer.out_features for layer in layers))
    assert NetworkSpec(FlatPicture).widths(CONFIG, 12, 3) is None


def test_a_run_says_how_its_network_is_compacted(data: Dataset) -> None:
    zeros, ones = torch.zeros(12), torch.ones(12)
    run = train(CONFIG, data, range(2), device="cpu")
    compacted = run.network.compact(one_replica(run.replicas, 1), zeros, ones)
    x = data.validation.x
    masked = run.replicas.logits(x, run.replicas.hard_masks(), shared=True)[1]
    torch.testing.assert_close(compacted.network(x[:, compacted.inputs]), masked)
    other = train(CONFIG, data, [0], NetworkSpec(Channels, input_shape=(1, 3, 4)), "cpu")
    compacted = other.network.compact(one_replica(other.replicas, 0), zeros, ones, x)
    masked = other.replicas.logits(x, other.replicas.hard_masks(), shared=True)[0]
    torch.testing.assert_close(compacted.network(x), masked)
    assert compacted.after.multiply_adds == 12 * 9 * 2 + 12 * 2 * 3
