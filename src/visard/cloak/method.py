"""What a method is to the rest of visard, and where methods are found by name."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from torch import Tensor

from visard.cloak.loop import Task
from visard.errors import CloakError, SettingError, UnknownMethodError

Aim = Literal["either", "targeted", "untargeted"]

# name -> "module:attribute", imported when asked for
_BUILT_IN = {
    "bim": "visard.cloak.methods.bim:BIM",
    "fgsm": "visard.cloak.methods.fgsm:FGSM",
    "i-fgsm": "visard.cloak.methods.i_fgsm:I_FGSM",
    "i-fgvm": "visard.cloak.methods.i_fgvm:I_FGVM",
    "illc": "visard.cloak.methods.bim:ILLC",
    "mi-di-fgsm": "visard.cloak.methods.mi_di_fgsm:MI_DI_FGSM",
    "p-fgvm": "visard.cloak.methods.p_fgvm:P_FGVM",
    "visard": "visard.cloak.methods.visard:VISARD",
}
# by the annotation of a setting: the types that it takes, and how they are called; a Literal takes its words
_KINDS: dict[type, tuple[Any, str]] = {
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
}
# settings that are shares of the full range of a pixel
_SHARES = ("eps", "level", "floor", "cap")
ENTRY_POINTS = "visard.cloaks"


@dataclass(frozen=True, slots=True)
class Method:
    """A method's card and its function.

    `run(task, **settings)` returns the change (N, C, H, W); its keyword defaults are the settings. `aim`: whether it
    steers toward a target, away from the person, or either; `many`: whether it takes several targets.
    """

    name: str
    paper: str
    aim: Aim
    run: Callable[..., Tensor]
    many: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """The settings with their defaults."""
        parameters = inspect.signature(self.run).parameters
        return {name: p.default for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raises ``SettingError`` for a setting that the method does not have, or a value that it cannot take."""
        defaults = self.settings
        hints = get_type_hints(self.run)
        for name, value in settings.items():
            if name not in defaults:
                near = get_close_matches(name, defaults, n=1)
                hint = f' Did you mean "{near[0]}"?' if near else ""
                known = ", ".join(defaults) or "none"
                raise SettingError(f'{self.name} has no setting "{name}".{hint} It has: {known}.')
            (hint,) = [part for part in _alternatives(hints[name]) if part is not type(None)]
            if get_origin(hint) is Literal:
                if value not in get_args(hint):
                    raise SettingError(f"{self.name}: {name} is one of {', '.join(get_args(hint))}; got {value}.")
                continue
            kind, words = _KINDS[hint]
            if not isinstance(value, kind) or (isinstance(value, bool) != (kind is bool)):
                raise SettingError(f"{self.name}: {name} takes {words}, got {value}.")
            if not 0 <= value < float("inf"):
                raise SettingError(f"{self.name}: {name} cannot be negative or infinite, got {value}.")
            if name in _SHARES and value > 1:
                raise SettingError(
                    f"{self.name}: {name} is a share of a pixel's full range, at most 1, got {value}; did you "
                    f"mean {value:g}/255?"
                )

    def cloak(self, task: Task, **settings: Any) -> Tensor:
        """The change (N, C, H, W) that this method finds; raises ``SettingError`` for unknown settings."""
        self.check(settings)
        return self.run(task, **settings)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if isinstance(hint, UnionType) else (hint,)


def method_names() -> list[str]:
    """The names of all methods, sorted, those of other packages (entry point ``visard.cloaks``) too."""
    return sorted({*_BUILT_IN, *(entry.name for entry in entry_points(group=ENTRY_POINTS))})


def find(name: str) -> Method:
    """The method called `name`; raises ``UnknownMethodError``, with a near name if there is one."""
    if name in _BUILT_IN:
        module, attribute = _BUILT_IN[name].split(":")
        loaded = getattr(import_module(module), attribute)
    else:
        outside = [entry for entry in entry_points(group=ENTRY_POINTS) if entry.name == name]
        if not outside:
            near = get_close_matches(name, method_names(), n=1)
            hint = f'Did you mean "{near[0]}"?' if near else f"There are: {', '.join(method_names())}."
            raise UnknownMethodError(f'No method is called "{name}". {hint}')
        loaded = outside[0].load()
    if not isinstance(loaded, Method):
        raise CloakError(f'The method "{name}" is not a visard.cloak.Method; its package is to blame.')
    return loaded
