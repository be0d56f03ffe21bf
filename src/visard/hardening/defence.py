"""What a defence is to the rest of visard, and where defences are found by name."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from visard.cloak.method import check_settings, settings_of
from visard.errors import HardeningError
from visard.hardening.material import Material
from visard.recognizer import Recognizer

# name -> "module:attribute", imported when asked for
_BUILT_IN: dict[str, str] = {
    "adversarial": "visard.hardening.defences.adversarial:ADVERSARIAL",
    "denoiser": "visard.hardening.defences.denoiser:DENOISER",
    "detector": "visard.hardening.defences.detector:DETECTOR",
    "parseval": "visard.hardening.defences.parseval:PARSEVAL",
    "projection": "visard.hardening.defences.projection:PROJECTION",
    "purification": "visard.hardening.defences.purification:PURIFICATION",
    "smoothing": "visard.hardening.defences.smoothing:SMOOTHING",
    "squeezing": "visard.hardening.defences.squeezing:SQUEEZING",
    "vos2023": "visard.hardening.defences.vos2023:VOS2023",
}


@dataclass(frozen=True, slots=True)
class Defence:
    """A defence's card and its function.

    ``run(base, material, **settings)`` returns a hardened recognizer and leaves `base` as it was; its keyword defaults
    are the settings. `on_device`: whether it computes where the material says; others do so on the CPU alone.
    """

    name: str
    source: str
    run: Callable[..., Recognizer]
    on_device: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """The settings with their defaults."""
        return settings_of(self.run)

    @property
    def page(self) -> str:
        """What it does, its source, what differs, and what the settings mean: the words of its module and function."""
        words = [inspect.getdoc(one) for one in (inspect.getmodule(self.run), self.run) if one is not None]
        return "\n\n".join(word for word in words if word)

    def check(self, base: Recognizer, settings: Mapping[str, Any]) -> None:
        """Raises ``SettingError`` for a setting that the defence does not have, or a value that it cannot take, and
        ``HardeningError`` for a black box."""
        check_settings(self.name, self.run, settings)
        if not base.differentiable:
            raise HardeningError(f"{base.name} is a black box: it gives no gradient to train with; name another.")

    def harden(self, base: Recognizer, material: Material, settings: Mapping[str, Any] | None = None) -> Recognizer:
        """`base`, hardened; raises as ``check`` does, and ``HardeningError`` for material that it cannot learn from."""
        self.check(base, settings or {})
        if material.device != "cpu" and not self.on_device:
            raise HardeningError(f"{self.name} computes on the CPU alone; leave the device out.")
        return self.run(base, material, **(settings or {}))


def defence_names() -> list[str]:
    """The names of all defences, sorted."""
    return sorted(_BUILT_IN)


def find_defence(name: str) -> Defence:
    """The defence called `name`; raises ``HardeningError``, with a near name if there is one."""
    if name not in _BUILT_IN:
        near = get_close_matches(name, _BUILT_IN, n=1)
        hint = f'Did you mean "{near[0]}"?' if near else f"There are: {', '.join(defence_names())}."
        raise HardeningError(f'No defence is called "{name}". {hint}')
    module, attribute = _BUILT_IN[name].split(":")
    found: Defence = getattr(import_module(module), attribute)
    return found
