"""Of the stories: a data directory with a cluster in it."""

from tests.story.conftest import data_dir as data_dir  # noqa: PLC0414 # a fixture is found by its name
