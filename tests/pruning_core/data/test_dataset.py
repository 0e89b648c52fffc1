"""A data set and its parts: what moves between devices, what a search does not see."""

from pathlib import Path

import torch
from small_tables import frame, load

from pruning_core.data import Part


def test_the_test_part_can_be_left_out_and_the_rest_moved(tmp_path: Path) -> None:
    data = load(frame(), tmp_path)
    assert data.without_test().test is None
    assert data.without_test().train is data.train
    assert data.test is not None
    on_device = data.to("meta")
    assert on_device.test is not None
    assert {on_device.train.x.device.type, on_device.test.y.device.type, on_device.scale.device.type} == {"meta"}
    assert data.without_test().to("meta").test is None


def test_weights_and_groups_move_with_their_rows() -> None:
    part = Part(torch.zeros(3, 2), torch.zeros(3).long(), torch.ones(3).double(), torch.arange(3))
    moved = part.to("meta")
    assert moved.weight is not None
    assert moved.group is not None
    assert (moved.weight.device.type, moved.group.device.type) == ("meta", "meta")
    assert (moved.weight.dtype, moved.group.dtype) == (torch.float64, torch.int64)
    plain = Part(part.x, part.y).to("cpu")
    assert (plain.weight, plain.group) == (None, None)
