"""The networks that the field publishes weights for, and visard's own small ones, by name: an exact input contract
and a file layout each."""

from difflib import get_close_matches

from visard.errors import UnknownRecognizerError
from visard.recognizer.networks import edgeface, iresnet, mobilefacenet, small, sphere, vggface2
from visard.recognizer.networks.facenet import FACENET
from visard.recognizer.networks.layout import unwrapped
from visard.recognizer.networks.model_a import MODEL_A
from visard.recognizer.networks.network import Embedder, Network
from visard.recognizer.networks.vgg import VGG_FACE

__all__ = ["Embedder", "Network", "find_network", "network_names", "unwrapped"]

_NETWORKS = {
    network.name: network
    for network in (
        *edgeface.NETWORKS,
        FACENET,
        *iresnet.NETWORKS,
        *mobilefacenet.NETWORKS,
        MODEL_A,
        *small.NETWORKS,
        *sphere.NETWORKS,
        VGG_FACE,
        *vggface2.NETWORKS,
    )
}


def network_names() -> tuple[str, ...]:
    """The names of all networks, sorted."""
    return tuple(sorted(_NETWORKS))


def find_network(name: str) -> Network:
    """The network of that name; raises ``UnknownRecognizerError``, with a near name if there is one."""
    if name in _NETWORKS:
        return _NETWORKS[name]
    near = get_close_matches(name, _NETWORKS, n=1)
    hint = f'Did you mean "{near[0]}"?' if near else f"There are: {', '.join(network_names())}."
    raise UnknownRecognizerError(f'No network is called "{name}". {hint}')
