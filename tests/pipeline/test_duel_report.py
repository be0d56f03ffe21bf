"""The report of a duel, on cells whose figures are known."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from learners import made_crops, tiny_recognizer
from visard.cloak import find
from visard.hardening import find_defence
from visard.hardening.adaptive import Check
from visard.hardening.duel import TRANSFER, WHITE_BOX, Attack, Cloaks, Duel, Fought, Round
from visard.measure import Rate
from visard.pipeline.duel_report import budgets, doubts, headline, recognizers, report, survival, write

PROBE, MATE = np.array([0, 1]), np.array([1, 0])
ESCAPED = {(0, 0): 1.0, (0, 1): 0.5, (1, 1): 0.75, (0, None): 0.25, (1, None): 0.0}


@pytest.fixture
def duel(tmp_path: Path) -> Duel:
    crops = made_crops(2, 2)
    return Duel(
        tiny_recognizer(0), find_defence("adversarial"), crops, crops, crops, crops, [tiny_recognizer(1)], tmp_path,
        rounds=1,
    )  # fmt: skip


def share(value: float) -> Rate:
    return Rate(value, value / 2, (1 + value) / 2, 40, 20)


@pytest.fixture
def rounds() -> list[Round]:
    made = []
    for number, (holds, error) in enumerate([(True, 0.01), (False, 0.015)]):
        cloaks = {
            name: Cloaks(Attack(find("pgd"), {"eps": 0.1}, [tiny_recognizer(number)]), torch.zeros(0), 0.5, 0.9, 33.0)
            for name in (WHITE_BOX, TRANSFER)
        }
        checks = [Check("more steps never hurt", True, "a"), Check("restarts never hurt", holds, "cosine up")]
        made.append(
            Round(
                tiny_recognizer(number),
                0.4 + number,
                share(error),
                10.0 * number,
                cloaks,
                checks,
                {8 / 255: share(0.4)},
            )
        )
    return made


@pytest.fixture
def cells() -> list[Fought]:
    return [
        Fought(
            attack, made, "juror" if judged is None else f"round {judged}", judged, 0.5, share(value), share(0.2),
            None if attack == TRANSFER and made == 1 else share(value), 0.031, PROBE, MATE, np.array([0.9, 0.8]),
            np.array([0.3, 0.6]),
        )
        for attack in (WHITE_BOX, TRANSFER)
        for (made, judged), value in ESCAPED.items()
    ]  # fmt: skip


def texts(row: Any) -> list[str]:
    return [cell if isinstance(cell, str) else cell.text for cell in row]


def test_the_headline_has_the_cloaks_made_anew(duel: Duel, rounds: list[Round], cells: list[Fought]) -> None:
    rows = [texts(row) for row in headline(rounds, cells).rows]
    assert [row[:3] for row in rows] == [
        ["0", WHITE_BOX, "100 % [50, 100] n=40"],
        ["0", TRANSFER, "100 % [50, 100] n=40"],
        ["1", WHITE_BOX, "75 % [38, 88] n=40"],
        ["1", TRANSFER, "75 % [38, 88] n=40"],
    ]
    assert rows[0][3:] == ["100 % [50, 100] n=40", "3.10 %", "0.900", "33.0", "0.50"]
    assert rows[3][3] == "–"


def test_what_hardening_cost(duel: Duel, rounds: list[Round], cells: list[Fought]) -> None:
    rows = [texts(row) for row in recognizers(rounds, cells).rows]
    assert rows[1] == [
        "1", "1.50 % [0.75, 50.75] n=40", "+0.50", "20 % [10, 60] n=40", "1.4000", "10", "1 of 2",
    ]  # fmt: skip


def test_what_survives_is_a_triangle(duel: Duel, cells: list[Fought]) -> None:
    found = survival(WHITE_BOX, duel, cells)
    assert found.header == ("posted in", "round 0", "round 1", "juror")
    assert [[text.split(" [")[0] for text in texts(row)] for row in found.rows] == [
        ["round 0", "100 %", "50 %", "25 %"],
        ["round 1", "–", "75 %", "0 %"],
    ]


def test_budgets(rounds: list[Round]) -> None:
    found = budgets(rounds)
    assert found.header == ("round", "8")
    assert texts(found.rows[1]) == ["1", "40 % [20, 70] n=40"]


def test_doubts(duel: Duel, rounds: list[Round]) -> None:
    few, failed = doubts(duel, rounds)
    assert few.startswith("Thresholds rest on 6 pairs of faces; at false accepts under 0.001 some 30,000 pairs")
    assert failed == "Round 1: the attack fails a sanity check: restarts never hurt (cosine up)."


def test_the_files(duel: Duel, rounds: list[Round], cells: list[Fought]) -> None:
    write(duel, rounds, cells)
    text = (duel.out / "duel.md").read_text()
    assert "equal error rate went from 1.00 % to 1.50 %" in text
    assert "![What survives](figures/what-survives.svg)" in text
    assert (duel.out / "figures/what-survives.svg").read_text().startswith("<svg")
    assert "<svg" in (duel.out / "duel.html").read_text()
    rows = pq.read_table(io.BytesIO((duel.out / "ledger.parquet").read_bytes())).to_pylist()
    assert len(rows) == 10
    first = rows[0]
    assert (first["attack"], first["made"], first["judged"], first["escaped"]) == (WHITE_BOX, 0, 0, 1.0)
    assert (first["method"], first["known"], first["clean_eer"], first["ssim"]) == ("pgd", "tiny-0", 0.01, 0.9)
    assert '"eps": 0.1' in first["settings"]
    assert [row["clean_eer"] for row in rows if row["judged"] is None] == [None] * 4
    trials = pq.read_table(io.BytesIO((duel.out / "trials.parquet").read_bytes())).to_pylist()
    assert len(trials) == 20
    assert trials[1]["probe"] == 1
    assert trials[1]["cloaked_score"] == 0.6
    assert report(duel, rounds, cells).tables[-1].title == "Sanity checks"
