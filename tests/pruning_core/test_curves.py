"""A training shows its curves in a notebook."""

from xml.etree import ElementTree

from pruning_core.config import TrialConfig
from pruning_core.data import Dataset
from pruning_core.training import train


def test_a_training_shows_a_curve_per_replica_and_their_mean(data: Dataset) -> None:
    run = train(TrialConfig(keep=3, epochs=4), data, seeds=range(3))
    assert run._repr_html_() == "<div>no epoch has been trained yet</div>"
    for record in run:
        drawn = ElementTree.fromstring(run._repr_html_().replace("<br>", ""))
        lines = drawn.findall(".//polyline")
        assert len(lines) == 3 * (3 + 1), "pruned, full, and open gates"
        assert {len(line.attrib["points"].split()) for line in lines} == {record.epoch}
    text = [str(each.text) for each in drawn.iter() if each.text]
    assert text[0] == "adaptive: 0 of 3 replicas complete after 4 epochs"
    assert {"validation accuracy", "open gates (n = 3)", "epoch 4", "12"} <= set(text)
    heights = [float(point.split(",")[1]) for line in lines for point in line.attrib["points"].split()]
    assert 0 <= min(heights) < max(heights) <= 170
