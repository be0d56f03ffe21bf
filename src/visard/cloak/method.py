"""What a method is to the rest of visard, and where methods are found by name."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import Tensor

from visard.cloak.loop import Task, TimeUp
from visard.errors import CloakError, SettingError, UnknownMethodError
from visard.recognizer import Card

Aim = Literal["either", "targeted", "untargeted"]

# name -> "module:attribute", imported when asked for
_BUILT_IN = {
    "admix": "visard.cloak.methods.admix:ADMIX",
    "apgd": "visard.cloak.methods.apgd:APGD",
    "bim": "visard.cloak.methods.bim:BIM",
    "blur": "visard.cloak.methods.blur:BLUR",
    "box": "visard.cloak.methods.box:BOX",
    "bsr": "visard.cloak.methods.bsr:BSR",
    "cw": "visard.cloak.methods.cw:CW",
    "deepfool": "visard.cloak.methods.deepfool:DEEPFOOL",
    "dfanet": "visard.cloak.methods.dfanet:DFANET",
    "di-fgsm": "visard.cloak.methods.di_fgsm:DI_FGSM",
    "eye-bar": "visard.cloak.methods.box:EYE_BAR",
    "face-off": "visard.cloak.methods.face_off:FACE_OFF",
    "fawkes": "visard.cloak.methods.fawkes:FAWKES",
    "fgsm": "visard.cloak.methods.fgsm:FGSM",
    "i-fgsm": "visard.cloak.methods.i_fgsm:I_FGSM",
    "i-fgvm": "visard.cloak.methods.i_fgvm:I_FGVM",
    "illc": "visard.cloak.methods.bim:ILLC",
    "jsma": "visard.cloak.methods.jsma:JSMA",
    "lgc": "visard.cloak.methods.lgc:LGC",
    "mef": "visard.cloak.methods.mef:MEF",
    "lowkey": "visard.cloak.methods.lowkey:LOWKEY",
    "mi-di-fgsm": "visard.cloak.methods.mi_di_fgsm:MI_DI_FGSM",
    "mi-fgsm": "visard.cloak.methods.mi_fgsm:MI_FGSM",
    "ni-fgsm": "visard.cloak.methods.ni_fgsm:NI_FGSM",
    "noise": "visard.cloak.methods.noise:NOISE",
    "one-pixel": "visard.cloak.methods.one_pixel:ONE_PIXEL",
    "p-fgvm": "visard.cloak.methods.p_fgvm:P_FGVM",
    "pgd": "visard.cloak.methods.pgd:PGD",
    "pixelate": "visard.cloak.methods.pixelate:PIXELATE",
    "si-ni-fgsm": "visard.cloak.methods.ni_fgsm:SI_NI_FGSM",
    "sia": "visard.cloak.methods.sia:SIA",
    "ssa": "visard.cloak.methods.ssa:SSA",
    "ti-fgsm": "visard.cloak.methods.ti_fgsm:TI_FGSM",
    "tip-im": "visard.cloak.methods.tip_im:TIP_IM",
    "visard": "visard.cloak.methods.visard:VISARD",
}
LEARNED = {
    "advfaces": "advfaces --data FOLDER",
    "apf": "apf --data FOLDER",
    "latent": "latent-cloak --disentangled FILE",
    "latent-distance": "latent-distance --data FOLDER",
}
"""Methods that are trained first, and how: the file that the training writes is the method. ``generator.find_method``
finds those that come with visard."""
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
class Learned:
    """What a method knows beforehand: the `sha256` of the file it is in, the `surrogates` it was learned against,
    whose kin cannot judge it, and the `settings` of the learning."""

    sha256: str
    surrogates: tuple[Card, ...]
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Method:
    """A method's card and its function.

    `run(task, **settings)` returns the change (N, C, H, W); its keyword defaults are the settings. `aim`: whether it
    steers toward a target, away from the person, or either; `many`: whether it takes several targets; `learned`: what
    it knows beforehand, if anything; `strengths`: names of settings that go together, for who does not want to set any;
    `about`: the words of its page, where those of its module and function are not about it; `replaces`: it does not
    change a face but puts another in its place.
    """

    name: str
    paper: str
    aim: Aim
    run: Callable[..., Tensor]
    many: bool = False
    learned: Learned | None = None
    strengths: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    about: str = ""
    replaces: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """The settings with their defaults."""
        return settings_of(self.run)

    @property
    def page(self) -> str:
        """What it does, its source, what differs, and what the settings mean: the words of its module and function."""
        if self.about:
            return self.about
        words = [inspect.getdoc(one) for one in (inspect.getmodule(self.run), self.run) if one is not None]
        return "\n\n".join(word for word in words if word)

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raises ``SettingError`` for a setting that the method does not have, or a value that it cannot take."""
        check_settings(self.name, self.run, settings)

    def cloak(self, task: Task, **settings: Any) -> Tensor:
        """The change (N, C, H, W) that this method finds, so far if time is up; raises ``SettingError`` for unknown
        settings."""
        self.check(settings)
        try:
            return self.run(task, **settings)
        except TimeUp as stopped:
            return stopped.delta

    def at(self, strength: str) -> dict[str, Any]:
        """The settings of a strength; raises ``SettingError`` when the method does not have it."""
        if strength in self.strengths:
            return dict(self.strengths[strength])
        known = f"it has {', '.join(self.strengths)}" if self.strengths else "use --set"
        raise SettingError(f'{self.name} has no strength "{strength}": {known}.')


def settings_of(run: Callable[..., Any]) -> dict[str, Any]:
    """The keyword-only arguments of a method's function, with their defaults."""
    parameters = inspect.signature(run).parameters
    return {name: p.default for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}


def check_settings(method: str, run: Callable[..., Any], settings: Mapping[str, Any]) -> None:
    """Raises ``SettingError`` for a setting that a method's function does not have, or a value that it cannot take."""
    defaults = settings_of(run)
    hints = get_type_hints(run)
    for name, value in settings.items():
        if name not in defaults:
            near = get_close_matches(name, defaults, n=1)
            hint = f' Did you mean "{near[0]}"?' if near else ""
            known = ", ".join(defaults) or "none"
            raise SettingError(f'{method} has no setting "{name}".{hint} It has: {known}.')
        (hint,) = [part for part in _alternatives(hints[name]) if part is not type(None)]
        if get_origin(hint) is Literal:
            if value not in get_args(hint):
                raise SettingError(f"{method}: {name} is one of {', '.join(get_args(hint))}; got {value}.")
            continue
        kind, words = _KINDS[hint]
        if not isinstance(value, kind) or (isinstance(value, bool) != (kind is bool)):
            raise SettingError(f"{method}: {name} takes {words}, got {value}.")
        if not 0 <= value < float("inf"):
            raise SettingError(f"{method}: {name} cannot be negative or infinite, got {value}.")
        if name == "ssim" and not 0 < value < 1:
            raise SettingError(f"{method}: ssim lies between 0 and 1, got {value:g}.")
        if name in _SHARES and value > 1:
            raise SettingError(
                f"{method}: {name} is a share of a pixel's full range, at most 1, got {value}; did you "
                f"mean {value:g}/255?"
            )


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if isinstance(hint, UnionType) or get_origin(hint) is Union else (hint,)


def method_names() -> list[str]:
    """The names of all methods, sorted, those of other packages (entry point ``visard.cloaks``) too."""
    return sorted({*_BUILT_IN, *(entry.name for entry in entry_points(group=ENTRY_POINTS))})


def find(name: str) -> Method:
    """The method called `name`; raises ``UnknownMethodError``, with a near name if there is one, and ``CloakError`` for
    one that is trained first."""
    if name in _BUILT_IN:
        module, attribute = _BUILT_IN[name].split(":")
        loaded = getattr(import_module(module), attribute)
    else:
        outside = [entry for entry in entry_points(group=ENTRY_POINTS) if entry.name == name]
        if not outside and name in LEARNED:
            raise CloakError(
                f"{name} is learned, and no trained one is here; train it (visard train {LEARNED[name]} --recognizer "
                "NAME --out FILE.safetensors) and give the file: --method FILE.safetensors."
            )
        if not outside:
            near = get_close_matches(name, [*method_names(), *LEARNED], n=1)
            hint = f'Did you mean "{near[0]}"?' if near else f"There are: {', '.join(method_names())}."
            raise UnknownMethodError(f'No method is called "{name}". {hint}')
        loaded = outside[0].load()
    if not isinstance(loaded, Method):
        raise CloakError(f'The method "{name}" is not a visard.cloak.Method; its package is to blame.')
    return loaded
