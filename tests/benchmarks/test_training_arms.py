"""What the benchmark of training gives to `annotator train`."""

from pathlib import Path

import pytest

from benchmarks import training
from recipes.make import RECIPES, recipe_path
from trainers.training_config import read_config

ARMS = [
    pytest.param(arm, id=f"{name}/{arm_name}")
    for name, benchmark in training.BENCHMARKS.items()
    for arm_name, arm in benchmark.arms.items()
]


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_learns_from_files_of_the_data_folder(arm, monkeypatch, tmp_path):
    commands = []
    monkeypatch.setattr(training, "run_annotator", lambda *arguments: commands.append(arguments))
    data = Path("/shared/sets")
    training.train_arm(arm, 3, data, tmp_path / "run", tmp_path / "runs")
    ((verb, config, *_),) = commands
    found = read_config(Path(config))
    assert (verb, found.seed) == ("train", 3)
    sources = [*found.data.train, *found.data.validation]
    assert sources
    for source in sources:
        assert Path(source.path).relative_to(data).parts[1] == "annotations"


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_begins_where_one_before_it_ended(recipe):
    before = RECIPES[: RECIPES.index(recipe)]
    weights = read_config(recipe_path(recipe)).weights
    assert weights is None if not before else Path(weights).parent.name in before
