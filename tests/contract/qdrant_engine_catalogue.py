"""What a server keeps beside the points: which collections there are, how they were made, and their aliases."""

import os
from pathlib import Path

from pydantic import BaseModel
from qdrant_client.http import models


class MadeCollection(BaseModel):
    """Where a collection's shard is, and the description that it was made with."""

    folder: str
    info: models.CollectionInfo


class Catalogue(BaseModel):
    """Collections and aliases by name; kept in a file, so that they are there when the folder is opened again."""

    collections: dict[str, MadeCollection] = {}
    aliases: dict[str, str] = {}

    @classmethod
    def read(cls, folder: Path) -> "Catalogue":
        """The catalogue of a folder; empty where none was kept."""
        file = _file(folder)
        return cls.model_validate_json(file.read_bytes()) if file.exists() else cls()

    def keep(self, folder: Path) -> None:
        """Replace the file at once, so that whoever is killed leaves the old one or the new one."""
        draft = _file(folder).with_suffix(".new")
        with draft.open("w") as file:
            file.write(self.model_dump_json())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(_file(folder))

    def name(self, name: str) -> str:
        """The collection that a name or an alias stands for."""
        return self.aliases.get(name, name)

    def forget(self, name: str) -> MadeCollection | None:
        """Take a collection out, with its aliases; None if there is none."""
        self.aliases = {alias: target for alias, target in self.aliases.items() if target != name}
        return self.collections.pop(name, None)


def _file(folder: Path) -> Path:
    return folder / "collections.json"
