"""Papers: each one a package that states its experiment, runs it again, and sets the print beside what was found."""

from difflib import get_close_matches
from importlib import import_module

from visard.errors import SettingError
from visard.papers.paper import Paper

# packages below, imported when asked for
_PAPERS = ("chatzikyriakidis2019", "ghafourian2023", "vos2023", "yang2021systematical", "yang2021tipim")

__all__ = ["Paper", "find_paper", "paper_names"]


def paper_names() -> tuple[str, ...]:
    """The short names of all papers."""
    return _PAPERS


def find_paper(name: str) -> Paper:
    """The paper of that short name; raises ``SettingError``, with a near name if there is one."""
    if name not in _PAPERS:
        near = get_close_matches(name, _PAPERS, n=1, cutoff=0.4)
        hint = f'Did you mean "{near[0]}"?' if near else f"There are: {', '.join(_PAPERS)}."
        raise SettingError(f'No paper is called "{name}". {hint}')
    paper: Paper = import_module(f"visard.papers.{name}").PAPER
    return paper
