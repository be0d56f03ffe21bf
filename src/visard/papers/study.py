"""A study: one run of a paper, kept in a folder, so that it can be interrupted and gone on with."""

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

import visard
from visard.errors import RecognizerError, SettingError, WriteError
from visard.face import Detector
from visard.papers.datasets import Dataset, datasets
from visard.papers.paper import Paper
from visard.photo.files import write_whole
from visard.recognizer import Recognizer, find, load

Row = dict[str, Any]
Watch = Callable[[str], None]
RECORD = "run.json"


@dataclass(frozen=True)
class Study:
    """What a paper's ``run`` is given.

    `data`: a folder with one dataset, or with one in each of its folders; `out`: where everything goes; `quick`: a
    small run of minutes; `detector`, `detector_name`: who finds the faces; `chosen`: recognizers' names by the part
    that they play; `watch` hears what is being done. Raises ``SettingError`` for a part that the paper does not have,
    or when `out` holds a study of other settings.
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
        if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != record:
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
            "data": self.data.name,
            "detector": self.detector_name,
            "quick": self.quick,
            "seed": self.seed,
            "networks": {part: find(name).sha256 for part, name in sorted(self.chosen.items())},
        }

    def datasets(self) -> list[Dataset]:
        """The datasets of the study's folder, those with the most photos first."""
        return datasets(self.data)

    def recognizer(self, part: str, *stand_ins: str) -> Recognizer:
        """Who plays `part`: the chosen recognizer, else the first of `stand_ins` that is there and ready.

        Raises ``RecognizerError`` when nobody is.
        """
        if part in self.chosen:
            return load(find(self.chosen[part]))
        for name in stand_ins:
            try:
                return load(find(name))
            except RecognizerError:
                continue
        raise RecognizerError(
            f'Nobody plays "{part}" ({self.paper.networks[part]}); add a recognizer and name it with '
            f'--network "{part}=NAME".'
        )

    def generator(self, name: str) -> torch.Generator:
        """Random numbers of their own for what is called `name`: the same whatever was run before."""
        mixed = int.from_bytes(hashlib.sha256(f"{self.seed} {name}".encode()).digest()[:7])
        return torch.Generator().manual_seed(mixed)

    def cell(self, name: str, compute: Callable[[], Sequence[Row]]) -> list[Row]:
        """The rows of `compute`, one per trial, from the study's folder if it was done before.

        `name` says which experiment it is; rows hold texts, numbers, truth values and None, the same columns in each.
        """
        path = self.out / "cells" / (re.sub(r"[^A-Za-z0-9._-]+", "-", name) + ".parquet")
        if path.is_file():
            table = pq.read_table(path)
        else:
            self.watch(name)
            started = time.perf_counter()
            rows = list(compute())
            table = pa.Table.from_pylist(rows).append_column("cell", pa.array([name] * len(rows)))
            spent = {b"seconds": f"{time.perf_counter() - started:.3f}".encode()}
            write_whole(path, parquet(table.replace_schema_metadata(spent)))
        self.seconds[name] = float((table.schema.metadata or {}).get(b"seconds", b"0"))
        return [{k: v for k, v in row.items() if k != "cell"} for row in table.to_pylist()]

    def trials(self) -> bytes:
        """Every cell's rows as one Parquet file."""
        parts = [pq.read_table(path) for path in sorted((self.out / "cells").glob("*.parquet"))]
        whole = pa.concat_tables([p.replace_schema_metadata(None) for p in parts], promote_options="permissive")
        return parquet(whole)


def parquet(table: pa.Table) -> bytes:
    """`table` as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())
