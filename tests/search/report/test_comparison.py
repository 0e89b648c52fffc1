"""The networks that a report compares the winner with: what they see, and with which seeds."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from synthetic_search import CONFIRM_SEEDS, make_search, study

from pruning_core.data import Dataset, Part
from search.report.baselines import by_mutual_information, by_random_forest, fit
from search.report.comparison import compare
from search.report.search_record import read_search
from search.stores.addresses import Stored

CONFIG = {"strategy": "stepped", "keep": 3, "hidden": [16], "learning_rate": 0.01, "batch_size": 32, "seeds": 3}


def test_a_comparison_sees_its_inputs_and_no_others(data: Dataset) -> None:
    informative = fit([0, 1, 2], {**CONFIG, "epochs": 15}, data, range(3))
    noise = fit([5, 6, 7], {**CONFIG, "epochs": 15}, data, range(3))
    assert informative.inputs == ("x0", "x1", "x2")
    assert min(informative.test) > 0.8 > max(noise.test)
    assert len(informative.validation) == 3

    def scrambled(part: Part) -> Part:
        x = part.x.clone()
        x[:, 3:] = 1000 * torch.randn(len(x), 9, generator=torch.Generator().manual_seed(0))
        return Part(x, part.y)

    test = data.test
    assert test is not None
    elsewhere = Dataset(
        **{
            **vars(data),
            "train": scrambled(data.train),
            "validation": scrambled(data.validation),
            "test": scrambled(test),
        }
    )
    assert fit([0, 1, 2], {**CONFIG, "epochs": 15}, elsewhere, range(3)).test == pytest.approx(
        informative.test, abs=0.02
    )


def test_the_full_network_is_a_plain_network(data: Dataset) -> None:
    assert data.test is not None
    full = fit(range(12), {**CONFIG, "epochs": 12}, data, [7])
    torch.manual_seed(7)
    plain = torch.nn.Sequential(torch.nn.Linear(12, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(7)
    steps = -(-210 // 32)
    for _ in range(12):
        order = torch.randperm(210, generator=generator)
        for rows in order[: steps * (210 // steps)].split(210 // steps):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(plain(data.train.x[rows]), data.train.y[rows]).backward()
            optimizer.step()
    accuracy = (plain(data.test.x).argmax(1) == data.test.y).float().mean().item()
    assert full.test == [pytest.approx(accuracy, abs=0.02)]


def test_rankings_read_the_training_part_only(data: Dataset) -> None:
    test = data.test
    assert test is not None
    shuffled = replace(data, validation=Part(test.x, 2 - test.y), test=Part(-test.x, test.y))
    for ranking in (by_mutual_information, by_random_forest):
        assert ranking(data, 3) == ranking(shuffled, 3) == [0, 1, 2]


def test_in_folds_rankings_read_all_rows_but_those_of_the_test_part(data: Dataset) -> None:
    noise = torch.randn(30, 12, generator=torch.Generator().manual_seed(1))
    said_elsewhere = replace(data, train=Part(noise, data.train.y[:30]), test=None)
    for ranking in (by_mutual_information, by_random_forest):
        assert ranking(said_elsewhere.pooled(), 3) == [0, 1, 2] != ranking(said_elsewhere, 3)


def test_comparisons_have_the_seeds_of_the_confirmation(tmp_path: Path) -> None:
    make_search(tmp_path, 12)
    search = read_search("made", Stored(tmp_path))
    said: list[str] = []
    networks = compare(search, study().load_data(), said.append)
    assert list(networks) == ["full", "refitted", "mutual information", "random forest"]
    assert all(len(network.test) == CONFIRM_SEEDS for network in networks.values())
    assert len(networks["full"].inputs) == 13
    assert set(networks["refitted"].inputs) == set(search.result["strategies"]["stepped"]["selected"])
    assert len(said) == 5
