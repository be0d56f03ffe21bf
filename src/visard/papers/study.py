"""A study: one run of a paper, kept in a folder, so that it can be interrupted and gone on with."""

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

import visard
from visard.audit.tables import parquet
from visard.errors import RecognizerError, SettingError, WriteError
from visard.face import Detector
from visard.papers.datasets import Dataset, datasets
from visard.papers.paper import Paper
from visard.photo.files import write_whole
from visard.recognizer import Recognizer, find, load

Row = dict[str, Any]
Watch = Callable[[str], None]
RECORD = "run.json"
PLAYERS = "networks.json"


@dataclass(frozen=True)
class Study:
    """What a paper's ``run`` is given.

    `data`: a folder with one dataset, or with one in each of its folders; `out`: where everything goes; `quick`: a
    small run of minutes; `detector`, `detector_name`: who finds the faces; `chosen`: recognizers' names by the part
    that they play; `watch` hears what is being done. Raises ``SettingError`` for a part that the paper does not have,
    or when `out` holds a study of other settings, ``AuditError`` when there is no data.
    """

    paper: Paper
    data: Path
    out: Path
    detector: Detector
    detector_name: str
    quick: bool = False
    seed: int = 0
    chosen: Mapping[str, str] = field(default_factory=dict)
    watch: Watch = lambda _what: None
    seconds: dict[str, float] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for part in self.chosen:
            if part not in self.paper.networks:
                parts = ", ".join(self.paper.networks) or "none"
                raise SettingError(f'{self.paper.name} has no network "{part}"; its networks: {parts}.')
        record = self.record()
        path = self.out / RECORD
        if path.is_file() and _read(path) != record:
            raise SettingError(f"{self.out} holds a study with other settings; choose another folder for this one.")
        try:
            (self.out / "cells").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"The folder {self.out} could not be made: {error.strerror}; choose another.") from error
        write_whole(path, (json.dumps(record, indent=1) + "\n").encode())

    def record(self) -> dict[str, Any]:
        """What decides every figure of the study."""
        return {
            "paper": self.paper.name,
            "visard": visard.__version__,
            "data": {one.name: [len(one.photos), len(one)] for one in self.datasets()},
            "detector": self.detector_name,
            "quick": self.quick,
            "seed": self.seed,
            "networks": {part: find(name).sha256 for part, name in sorted(self.chosen.items())},
        }

    def datasets(self) -> list[Dataset]:
        """The datasets of the study's folder, those with the most photos first."""
        return self._datasets

    @cached_property
    def _datasets(self) -> list[Dataset]:
        return datasets(self.data)

    def recognizer(self, part: str, *stand_ins: str) -> Recognizer:
        """Who plays `part`: the chosen recognizer, else the first of `stand_ins` that is there and ready.

        Raises ``RecognizerError`` when nobody is, ``SettingError`` when another played it in this study before.
        """
        if part in self.chosen:
            return self._remembered(part, load(find(self.chosen[part])))
        for name in stand_ins:
            try:
                return self._remembered(part, load(find(name)))
            except RecognizerError:
                continue
        raise RecognizerError(
            f'Nobody plays "{part}" ({self.paper.networks[part]}); add a recognizer and name it with '
            f'--network "{part}=NAME".'
        )

    def _remembered(self, part: str, player: Recognizer) -> Recognizer:
        """`player`, written down: whose weights made the cells is not to change when others are added."""
        path = self.out / PLAYERS
        known = _read(path) if path.is_file() else {}
        name, sha256 = known.setdefault(part, [player.name, player.card.sha256])
        if sha256 != player.card.sha256:
            raise SettingError(
                f'{self.out} holds a study in which {name} plays "{part}", now it is {player.name}; choose another '
                f'folder, or name it with --network "{part}={name}".'
            )
        write_whole(path, (json.dumps(known, indent=1) + "\n").encode())
        return player

    def generator(self, name: str) -> torch.Generator:
        """Random numbers of their own for what is called `name`: the same whatever was run before."""
        mixed = int.from_bytes(hashlib.sha256(f"{self.seed} {name}".encode()).digest()[:7])
        return torch.Generator().manual_seed(mixed)

    def cell(self, name: str, compute: Callable[[], Sequence[Row]]) -> list[Row]:
        """The rows of `compute`, one per trial, from the study's folder if it was done before.

        `name` says which experiment it is; rows hold texts, numbers, truth values and None, the same columns in each.
        """
        # names that differ in signs alone are other experiments
        known = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}.{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        path = self.out / "cells" / f"{known}.parquet"
        if path.is_file():
            table = pq.read_table(path)
        else:
            self.watch(name)
            started = time.perf_counter()
            rows = list(compute())
            table = pa.Table.from_pylist(rows).append_column("cell", pa.array([name] * len(rows)))
            spent = {b"seconds": f"{time.perf_counter() - started:.3f}".encode()}
            table = table.replace_schema_metadata(spent)
            write_whole(path, parquet(table))
        self.seconds[name] = float((table.schema.metadata or {}).get(b"seconds", b"0"))
        return [{k: v for k, v in row.items() if k != "cell"} for row in table.to_pylist()]

    def trials(self) -> bytes:
        """Every cell's rows as one Parquet file."""
        parts = [pq.read_table(path) for path in sorted((self.out / "cells").glob("*.parquet"))]
        whole = pa.concat_tables([p.replace_schema_metadata(None) for p in parts], promote_options="permissive")
        return parquet(whole)


def _read(path: Path) -> Any:
    """What a file of the study says; None when it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
