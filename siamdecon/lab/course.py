"""What the course asks for: each notebook's exercises, and the questions, from the files beside this one."""

import json
import tomllib
from pathlib import Path


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


#: The exercises of each notebook, in the course's order; derived from the notebooks' sources.
NOTEBOOKS: dict[str, list[str]] = json.loads(_read("exercises.json"))
#: Each question by its key, the notebook's number and a name: its text, options, answer and reason; an open
#: one has a text alone.
QUESTIONS: dict[str, dict] = tomllib.loads(_read("questions.toml"))
