"""Where methods are found, the learned ones among them."""

from pathlib import Path

from visard.cloak import Method, find
from visard.generator import learned
from visard.generator.course import SUFFIX
from visard.generator.file import has_form, read
from visard.generator.latent.cloak import FORMAT, parse_latent_cloak


def find_method(name: str) -> Method:
    """The method called `name`: any that ``cloak.find`` knows, a learned one that comes with visard, or, when `name`
    ends in .safetensors, the learned one in that file. Raises ``CloakError`` when there is none."""
    if name.endswith(SUFFIX):
        return _in_file(Path(name))
    return _in_file(learned.SHIPPED / f"{name}{SUFFIX}") if name in learned.shipped() else find(name)


def _in_file(path: Path) -> Method:
    data = read(path)
    parse = parse_latent_cloak if has_form(data, FORMAT) else learned.parse_cloak
    return parse(data, str(path)).method()
