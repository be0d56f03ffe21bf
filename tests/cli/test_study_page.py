"""The rating page as people use it: in a real browser, on large and small screens, by mouse and by keys."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser import CHROMIUM, Browser, chromium
from rig import save
from visard.measure import clopper_pearson

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page in")
Run = Callable[..., tuple[int, str, str]]
PHOTOS = 3
LOADED = "new Promise(done => { const look = () => part('picture').complete ? done() : setTimeout(look, 5); look(); })"
NAMELESS = (
    "[...document.querySelectorAll('button, input')].filter(one => !(one.labels?.length || one.innerText)).length"
)
SMALL = """[...document.querySelectorAll("button, input")].map(one => [one.id, one.getBoundingClientRect()])
  .filter(([, box]) => box.width && (box.width < 44 || box.height < 44)).map(([id]) => id)"""
OUTSIDE = """["progress", "some", "picture", "yes", "no", "back"].filter(name => {
  const box = part(name).getBoundingClientRect();
  return !box.width || box.left < 0 || box.top < 0 || box.right > innerWidth || box.bottom > innerHeight;
})"""
FAINT = """(() => {
  const numbers = color => color.match(/[\\d.]+/g).map(Number);
  const light = color => numbers(color).slice(0, 3).map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const ground = one => {
    const color = getComputedStyle(one).backgroundColor;
    return numbers(color)[3] === 0 ? ground(one.parentElement) : color;
  };
  return [...document.querySelectorAll("h1, p, b, label, button, input, span, kbd")].filter(one => {
    if (!one.getClientRects().length) return false;
    const [a, b] = [light(getComputedStyle(one).color), light(ground(one))];
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05) < (one.disabled || one.closest(":disabled") ? 3 : 4.5);
  }).map(one => one.id || one.textContent);
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as one:
        yield one


@pytest.fixture
def page(visard: Run, tmp_path: Path, browser: Browser) -> Iterator[Path]:
    """A study, open in the browser, in which nothing goes wrong."""
    for i, folder in enumerate(("before", "after")):
        (tmp_path / folder).mkdir()
        for number in range(PHOTOS):
            save(tmp_path / folder / f"{number}.png", np.full((60, 80 + 90 * i, 3), 60 * number + i, np.uint8))
    path = tmp_path / "study.html"
    assert visard("study", "make", tmp_path / "before", tmp_path / "after", "-o", path)[0] == 0
    browser.errors.clear()
    browser.resize(1280, 900)
    browser.open(path)
    browser.js("localStorage.clear()")
    browser.reload()
    yield path
    assert browser.errors == []


def truth(page: Path) -> list[str]:
    """The right words, in the order of the page."""
    known = json.loads(page.with_name("study.key.json").read_text())["pictures"]
    shown = re.search(r'id="study">(.*?)</script>', page.read_text())
    assert shown is not None
    sides = [known[one["id"]]["side"] for one in json.loads(shown[1])["pictures"]]
    return ["yes" if side == "result" else "no" for side in sides]


def seen(browser: Browser) -> tuple[str, str]:
    """Which part is shown, and which picture it says."""
    part = browser.js("['start', 'rate', 'end'].filter(name => !part(name).hidden).join()")
    return part, browser.js("part('progress').textContent")


def begin(browser: Browser, name: str) -> None:
    browser.click("rater")
    browser.type(name)
    browser.press("Enter")
    browser.js(LOADED)


def answer(browser: Browser, word: str, *, key: bool = False) -> None:
    if key:
        browser.press(word[0])
    else:
        browser.click(word)
    browser.js(LOADED)


def test_a_rater_answers_reloads_and_saves(visard: Run, page: Path, browser: Browser, tmp_path: Path) -> None:
    words = truth(page)
    browser.press("Tab")
    assert browser.js("document.activeElement.id") == "rater"
    browser.press("Enter")
    assert seen(browser)[0] == "start"
    begin(browser, " ")
    assert seen(browser)[0] == "start"
    begin(browser, "Ann, é")
    assert (seen(browser), browser.js("document.activeElement.id")) == (("rate", "Picture 1 of 6"), "ask")
    answer(browser, words[0], key=True)
    answer(browser, "no" if words[1] == "yes" else "yes")
    browser.click("back")
    browser.js(LOADED)
    assert seen(browser)[1] == "Picture 2 of 6"
    pressed = "part('yes').ariaPressed + ' ' + part('no').ariaPressed"
    assert browser.js(pressed) == ("false true" if words[1] == "yes" else "true false")
    answer(browser, words[1])
    assert browser.js(pressed) == "false false"

    browser.reload()
    assert seen(browser)[0] == "start"
    assert browser.js("[part('rater').value, part('begin').innerText]") == ["Ann_é", "Go on"]
    assert browser.js("part('known').innerText") == "2 of 6 answered. If that was not you, change the name."
    browser.click("begin")
    browser.js(LOADED)
    assert seen(browser) == ("rate", "Picture 3 of 6")
    half = browser.download("some", tmp_path)
    assert browser.js("part('told').innerText") == "Saved as answers-Ann_é.csv: look among your downloads."
    half = half.rename(tmp_path / "half.csv")
    for word in words[2:]:
        answer(browser, word, key=word == "no")
    assert (seen(browser)[0], browser.js("document.activeElement.id")) == ("end", "thanks")
    assert browser.js("dispatchEvent(new Event('beforeunload', { cancelable: true }))") is False
    whole = browser.download("save", tmp_path)
    assert whole.name == "answers-Ann_é.csv"
    assert browser.js("dispatchEvent(new Event('beforeunload', { cancelable: true }))") is True
    # whoever comes next is not taken for her, who can still come back
    browser.reload()
    assert browser.js("[part('rater').value, part('begin').innerText]") == ["", "Begin"]
    begin(browser, "Ann, é")
    assert seen(browser)[0] == "end"

    key = tmp_path / "study.key.json"
    told = json.loads(visard("study", "score", key, whole, "--json")[1])
    exact = list(clopper_pearson(PHOTOS, PHOTOS)), list(clopper_pearson(0, PHOTOS))
    assert (
        [told["result"]["low"], told["result"]["high"]],
        [told["original"]["low"], told["original"]["high"]],
    ) == exact
    assert (told["raters"], told["rated"], told["difference"]["value"]) == ({"Ann_é": 6}, 6, 1)
    code, out, _ = visard("study", "score", key, half)
    assert (code, "1 rater, 2 of 6 pictures rated." in out, "Ann_é (2)" in out) == (0, True, True)


def test_two_raters_share_a_browser(visard: Run, page: Path, browser: Browser, tmp_path: Path) -> None:
    files = []
    for name, word in (("ann", "yes"), ("bob", "no")):
        begin(browser, name)
        assert seen(browser) == ("rate", "Picture 1 of 6")
        assert browser.js("part('yes').ariaPressed") == "false"
        for _ in range(2 * PHOTOS):
            answer(browser, word, key=True)
        files.append(browser.download("save", tmp_path))
        browser.reload()
    told = json.loads(visard("study", "score", tmp_path / "study.key.json", *files, "--json")[1])
    assert (told["raters"], told["result"]["value"]) == ({"ann": 6, "bob": 6}, 0.5)


def test_where_the_browser_keeps_nothing(page: Path, browser: Browser) -> None:
    script = "Object.defineProperty(window, 'localStorage', { get() { throw new Error(); } })"
    added = browser.ask("Page.addScriptToEvaluateOnNewDocument", source=script)["identifier"]
    try:
        browser.reload()
        assert browser.js("[part('kept').hidden, part('lost').hidden]") == [True, False]
        begin(browser, "ann")
        assert browser.js("dispatchEvent(new Event('beforeunload', { cancelable: true }))") is True
        answer(browser, "yes")
        assert seen(browser) == ("rate", "Picture 2 of 6")
        assert browser.js("dispatchEvent(new Event('beforeunload', { cancelable: true }))") is False
        browser.js("saved = true")
    finally:
        browser.ask("Page.removeScriptToEvaluateOnNewDocument", identifier=added)


@pytest.mark.parametrize("size", [(1280, 900), (390, 844), (320, 568), (844, 390)])
def test_everything_fits_is_named_and_can_be_read(size: tuple[int, int], page: Path, browser: Browser) -> None:
    browser.resize(*size)
    assert browser.js("[document.documentElement.lang, document.title]") == ["en", "Which pictures show artefacts?"]

    def flaws() -> dict[str, Any]:
        wide = "document.documentElement.scrollWidth > innerWidth"
        return {name: browser.js(what) for name, what in {"small": SMALL, "faint": FAINT, "wide": wide}.items()}

    none: dict[str, Any] = {"small": [], "faint": [], "wide": False}
    assert browser.js(NAMELESS) == 0
    assert flaws() == none
    begin(browser, "ann")
    assert flaws() == none
    assert browser.js(OUTSIDE) == []
    places = "['yes', 'no', 'back'].map(name => part(name).getBoundingClientRect().y)"
    before = browser.js(places)
    answer(browser, "yes")
    assert flaws() == none
    assert browser.js(places) == before
    for _ in range(2 * PHOTOS - 1):
        answer(browser, "no", key=True)
    assert seen(browser)[0] == "end"
    assert flaws() == none
