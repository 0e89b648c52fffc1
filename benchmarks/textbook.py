"""What a gate search costs when it is put together as the documentation of its parts shows.

Ray Tune's `Tuner`, `OptunaSearch` and `MLflowLoggerCallback`, a plain PyTorch loop, one network per trial and
a report every epoch, on two CPU slots. Where a choice was open it is the quicker one: batches are slices of a
permutation instead of a DataLoader's, and Ray's dashboard is off.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.search.optuna import OptunaSearch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

KEEP = 16
HIDDEN = 64
BATCH_SIZE = 64
LEARNING_RATE = 1e-3
INITIAL_WEIGHT = 3.0
STEP_EPOCHS = 20
LAMBDA_MAX = 1e7

Data = dict[str, tuple[Tensor, Tensor]]


class GatedNetwork(nn.Module):
    """A 64-64-10 network whose inputs are multiplied by sigmoid gates."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((features,), INITIAL_WEIGHT))
        self.body = nn.Sequential(nn.Linear(features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes))

    def forward(self, x_BF: Tensor) -> Tensor:
        return self.body(x_BF * torch.sigmoid(self.weights))

    def pruned(self, x_BF: Tensor) -> Tensor:
        """The logits under the hard mask: the KEEP largest gates at 1, the others at 0."""
        mask_F = torch.zeros_like(self.weights)
        mask_F[self.weights.topk(KEEP).indices] = 1.0
        return self.body(x_BF * mask_F)


def load_data() -> Data:
    """The digits, split 70/15/15 and standardised with the training part."""
    x, y = load_digits(return_X_y=True)
    x_train, x_rest, y_train, y_rest = train_test_split(x, y, test_size=0.3, stratify=y, random_state=0)
    x_validation, x_test, y_validation, y_test = train_test_split(
        x_rest, y_rest, test_size=0.5, stratify=y_rest, random_state=0
    )
    scaler = StandardScaler().fit(x_train)
    parts = {
        "train": (x_train, y_train),
        "validation": (x_validation, y_validation),
        "test": (x_test, y_test),
    }
    return {
        name: (torch.tensor(scaler.transform(x), dtype=torch.float32), torch.tensor(y, dtype=torch.int64))
        for name, (x, y) in parts.items()
    }


def accuracy(logits_BC: Tensor, y_B: Tensor) -> float:
    return (logits_BC.argmax(dim=1) == y_B).float().mean().item()


def train(config: dict[str, Any], data: Data) -> None:
    """One trial: one network, `config["epochs"]` epochs, a report after each."""
    torch.manual_seed(0)
    x_BF, y_B = data["train"]
    x_validation_BF, y_validation_B = data["validation"]
    features = x_BF.shape[1]
    model = GatedNetwork(features, int(y_B.max()) + 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)

    for epoch in range(config["epochs"]):
        lambda_ = min(config["lambda_start"] * config["growth"] ** (epoch // STEP_EPOCHS), LAMBDA_MAX)
        alpha = lambda_
        sums = {"classification_loss": 0.0, "selection_loss": 0.0, "rejection_loss": 0.0, "total_loss": 0.0}
        batches = torch.randperm(len(x_BF)).split(BATCH_SIZE)
        for batch in batches:
            gates_F = torch.sigmoid(model.weights)
            losses = {
                "classification_loss": cross_entropy(model(x_BF[batch]), y_B[batch]),
                "selection_loss": (gates_F.sum() - KEEP).abs() / features,
                "rejection_loss": (gates_F * (1 - gates_F)).sum() / features,
            }
            pruner_loss = losses["selection_loss"] + losses["rejection_loss"]
            losses["total_loss"] = losses["classification_loss"] + alpha * pruner_loss
            optimizer.zero_grad()
            losses["total_loss"].backward()
            optimizer.step()
            for name, loss in losses.items():
                sums[name] += loss.item()

        with torch.no_grad():
            gates_F = torch.sigmoid(model.weights)
            metrics = {name: total / len(batches) for name, total in sums.items()}
            metrics |= {
                "alpha": alpha,
                "lambda": lambda_,
                "active": int((gates_F > 0.5).sum()),
                "gates_sum": gates_F.sum().item(),
                "gate_variance": gates_F.var(correction=0).item(),
                "weight_variance": model.weights.var(correction=0).item(),
                "full_accuracy": accuracy(model(x_validation_BF), y_validation_B),
                "pruned_accuracy": accuracy(model.pruned(x_validation_BF), y_validation_B),
            }
        tune.report(metrics)


def search(trials: int, epochs: int, output: Path, lean: bool = False) -> dict[str, float]:
    """Run the search once and measure it, from before `ray.init` to the end of the fit.

    `lean`: with reused actors and without MLflow.

    Raises
    ------
    RuntimeError
        If a trial failed: a time with failed trials in it says nothing.
    """
    data = load_data()
    output = output.resolve()
    output.mkdir(parents=True, exist_ok=True)

    start = time.perf_counter()
    mlflow = MLflowLoggerCallback(tracking_uri=f"sqlite:///{output / 'mlflow.db'}", experiment_name="textbook")
    ray.init(num_cpus=2, include_dashboard=False)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(train, data=data), {"cpu": 1}),
        param_space={
            "lambda_start": tune.loguniform(1e-4, 10.0),
            "growth": tune.loguniform(1.02, 10.0),
            "epochs": epochs,
        },
        tune_config=tune.TuneConfig(
            metric="pruned_accuracy",
            mode="max",
            search_alg=OptunaSearch(seed=0),
            num_samples=trials,
            reuse_actors=lean,
        ),
        run_config=tune.RunConfig(
            name="textbook",
            storage_path=str(output / "ray"),
            callbacks=[] if lean else [mlflow],
        ),
    )
    results = tuner.fit()
    seconds = time.perf_counter() - start
    ray.shutdown()

    if results.num_errors:
        raise RuntimeError(f"{results.num_errors} of {trials} trials failed")
    replica_epochs = int(results.get_dataframe()["training_iteration"].sum())
    return {
        "trials": trials,
        "epochs": epochs,
        "seconds": round(seconds, 3),
        "replica_epochs": replica_epochs,
        "replica_epochs_per_second": round(replica_epochs / seconds, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=160)
    parser.add_argument("--lean", action="store_true", help="with reused actors and without MLflow")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measurement there, too")
    parser.add_argument("--output", type=Path, metavar="DIR", default=Path("runs/textbook"))
    arguments = parser.parse_args()
    measured = json.dumps(search(arguments.trials, arguments.epochs, arguments.output, arguments.lean))
    if arguments.json:
        arguments.json.write_text(measured + "\n")
    print(measured)


if __name__ == "__main__":
    main()
