"""The numbers of a training as they are written, and read again."""

from __future__ import annotations

import json
from dataclasses import replace

from forecast.training.config import TrainConfig
from forecast.transforms.augment import IN_TWO_WAYS
from tests.builders import train_config


def test_what_is_written_as_json_is_read_back_as_it_was_but_for_the_seed():
    config = train_config(seed=3, behind=1.5, views=IN_TWO_WAYS, seconds=0.1)
    document = json.loads(json.dumps(config.document()))
    assert "seed" not in document
    assert TrainConfig.of(document) == replace(config, seed=0)


def test_numbers_that_few_trainings_have_are_written_only_there():
    """A training that was begun before there were these numbers is found again."""
    assert not {"mixer", "behind"} & train_config().document().keys()
    assert {"mixer", "behind"} <= train_config(mixer=4, behind=0.5).document().keys()
