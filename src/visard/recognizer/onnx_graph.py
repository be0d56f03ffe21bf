"""ONNX files as ordinary PyTorch networks, differentiable with respect to their input.

The importer walks the file once. Every value is tried at two batch sizes: a value that the input does not reach
is computed there and then, and one that differs between the two trials only by the batch (a shape chain) is
written in terms of the batch. So the network takes any batch size, whatever size the file was exported with.
"""

import inspect
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from visard.errors import MissingExtraError, RecognizerError, UnsupportedOperatorError, WeightsError
from visard.recognizer.onnx_folding import fold
from visard.recognizer.onnx_layers import Unsupported
from visard.recognizer.onnx_operators import INERT, OPERATORS, PLAIN

__all__ = ["load_graph", "read_model"]

TRIALS = (2, 3)  # batch sizes; any two above 1, which broadcasting would hide


@dataclass(frozen=True)
class _Value:
    """What a name in the file stands for: a tensor per trial, real if known and meta if computed by `proxy`."""

    samples: tuple[Tensor, ...]
    proxy: fx.Proxy | None = None

    @property
    def constant(self) -> bool:
        return self.proxy is None and all(sample is self.samples[0] for sample in self.samples)

    @property
    def batch_axis(self) -> int | None:
        """The first axis whose length follows the batch."""
        lengths = zip(*(sample.shape for sample in self.samples), strict=True)
        return next((i for i, axis in enumerate(lengths) if len(set(axis)) > 1), None)


class _Tracer(fx.proxy.GraphAppendingTracer):
    """Writes torch calls into a graph; tensors among their arguments become the graph's constants."""

    def __init__(self, graph: fx.Graph) -> None:
        super().__init__(graph)
        self.constants: dict[str, Tensor] = {}

    def create_arg(self, a: Any) -> Any:
        if not isinstance(a, Tensor):
            return super().create_arg(a)
        name = next((key for key, value in self.constants.items() if value is a), f"constant_{len(self.constants)}")
        self.constants[name] = a
        node = self.graph.create_node("get_attr", name)
        node.meta["shape"] = tuple(a.shape)
        return node


def load_graph(path: Path, *, size: tuple[int, int] | None = None) -> fx.GraphModule:
    """The network of an ONNX file as a PyTorch module, (N, C, H, W) to whatever the file computes, (N, ...).

    float32 in and out (`.double()` works), evaluation only. Weights are parameters that require no gradient.
    `size` (height, width) is needed only where the file leaves the input's height and width open.

    Raises MissingExtraError without `onnx`, WeightsError for a damaged file or one with external data,
    UnsupportedOperatorError for an operator that has no translation, RecognizerError for a network that has
    several inputs or outputs or that mixes the rows of a batch.
    """
    model = read_model(path)
    return _Importer(Path(path), model, size).build()


def read_model(path: Path) -> Any:
    """The parsed model of an ONNX file with one input and one output; nothing but that file is read.

    Raises MissingExtraError, WeightsError and RecognizerError as `load_graph` does.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise MissingExtraError("Importing ONNX files", "onnx") from None
    name = Path(path).name
    try:
        model = onnx.load_model_from_string(Path(path).read_bytes())
    except OSError as error:
        raise WeightsError(f"{name} cannot be read: {error.strerror}.") from None
    except (DecodeError, ValueError):
        raise WeightsError(f"{name} is damaged or is not an ONNX file; fetch it again.") from None
    graph = model.graph
    if not (graph.node and graph.output and model.opset_import):
        raise WeightsError(f"{name} is damaged or is not an ONNX file; fetch it again.")
    attributes = [a for node in graph.node for a in node.attribute]
    tensors = [*graph.initializer, *(a.t for a in attributes), *(t for a in attributes for t in a.tensors)]
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in tensors):
        raise WeightsError(f"{name} keeps its weights in other files; save it as a single file instead.")
    stored = {t.name for t in graph.initializer}
    inputs = [i for i in graph.input if i.name not in stored]
    for kind, found in (("input", inputs), ("output", graph.output)):
        if len(found) != 1:
            raise RecognizerError(f"{name} has {len(found)} {kind}s; visard imports networks with exactly one.")
    del graph.input[:]
    graph.input.extend(inputs)
    return model


class _Importer:
    """One walk through one file."""

    def __init__(self, path: Path, model: Any, size: tuple[int, int] | None) -> None:
        self.file = path.name
        self.source = model.graph
        self.opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
        self.graph = fx.Graph()
        self.tracer = _Tracer(self.graph)
        self.values: dict[str, _Value] = {"": _Value(())}
        self.fixed_batch = 0
        self._open_input(size)
        self.batch: fx.Proxy | None = None

    def build(self) -> fx.GraphModule:
        """Translate every node that the output needs, then fold."""
        if self.opset < 7:
            raise UnsupportedOperatorError(
                f"{self.file} uses ONNX operator set {self.opset}, older than 7, which visard cannot import; "
                "convert it with onnx.version_converter or add it as a black box instead."
            )
        for initializer in self.source.initializer:
            self.values[initializer.name] = self._known(self._tensor(initializer))
        for node in self._needed():
            self._translate(node)
        result = self.values.get(self.source.output[0].name)
        if result is None or result.proxy is None:
            raise WeightsError(f"{self.file} is damaged: its output does not depend on its input.")
        if result.batch_axis != 0 or [s.shape[0] for s in result.samples] != list(TRIALS):
            raise RecognizerError(f"{self.file} mixes the rows of a batch; add it as a black box instead.")
        self.graph.output(result.proxy.node)
        return fold(self.graph, self.tracer.constants)

    def _open_input(self, size: tuple[int, int] | None) -> None:
        entry = self.source.input[0]
        kind = entry.type.tensor_type
        dims = [d.dim_value if d.HasField("dim_value") else 0 for d in kind.shape.dim]
        if kind.elem_type != 1:
            raise UnsupportedOperatorError(
                f"{self.file} takes an input that is not float32, which visard cannot import; "
                "add it as a black box instead."
            )
        self.fixed_batch = dims[0] if dims and dims[0] > 0 else 0
        shape = [max(d, 0) for d in dims[1:]]
        if len(shape) == 3 and size is not None:
            shape = [shape[0], *(known or given for known, given in zip(shape[1:], size, strict=True))]
        if not shape or 0 in shape:
            raise RecognizerError(f"{self.file} leaves the size of its input open; give the height and width.")
        node = self.graph.placeholder("face")
        samples = tuple(torch.empty((b, *shape), device="meta") for b in TRIALS)
        self.values[entry.name] = self._computed(samples, fx.Proxy(node, self.tracer))

    def _needed(self) -> list[Any]:
        wanted, needed = {self.source.output[0].name}, []
        for node in reversed(self.source.node):
            if wanted.intersection(node.output):
                wanted.update(node.input)
                needed.append(node)
        return needed[::-1]

    # values

    def _known(self, *samples: Tensor) -> _Value:
        first = samples[0]
        same = all(s.shape == first.shape and s.dtype == first.dtype and torch.equal(s, first) for s in samples)
        return _Value((first,) * len(TRIALS) if same else samples)

    def _computed(self, samples: tuple[Tensor, ...], proxy: fx.Proxy) -> _Value:
        proxy.node.meta["shape"] = tuple(samples[0].shape)
        return _Value(samples, proxy)

    def _tensor(self, proto: Any) -> Tensor:
        import numpy as np
        from onnx import numpy_helper

        try:
            array = np.array(numpy_helper.to_array(proto))
        except Exception:  # noqa: BLE001  (whatever the parser of a damaged tensor raises)
            raise WeightsError(f"{self.file} is damaged: its tensor '{proto.name}' cannot be read.") from None
        kinds: dict[str, type] = {"f": np.float32, "i": np.int64, "u": np.int64, "b": np.bool_}
        if array.dtype.kind not in kinds:
            raise WeightsError(f"{self.file} holds the tensor '{proto.name}' of type {array.dtype}, not of numbers.")
        return torch.from_numpy(array.astype(kinds[array.dtype.kind]))

    # nodes

    def _translate(self, node: Any) -> None:
        function = OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if function is None:
            raise self._unsupported(node, "")
        for name in node.input:
            if name not in self.values:
                raise WeightsError(f"{self.file} is damaged: node '{node.name}' reads '{name}' before it exists.")
        try:
            keywords = self._attributes(node, function)
            inputs = self._freed(node, [self.values[name] for name in node.input], keywords)
            results = self._apply(node, function, inputs, keywords)
        except Unsupported as reason:
            raise self._unsupported(node, f" {reason}") from None
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            if self.fixed_batch and node.op_type == "Reshape":
                raise self._unsupported(node, f" with the batch fixed at {self.fixed_batch}") from error
            raise WeightsError(
                f"{self.file} is damaged: node '{node.name}' ({node.op_type}) does not fit its inputs."
            ) from error
        self.values.update(zip(node.output, results, strict=False))

    def _unsupported(self, node: Any, reason: str) -> UnsupportedOperatorError:
        name = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        return UnsupportedOperatorError(
            f"{self.file} uses the operator {name} (node '{node.name}'){reason}, which visard cannot import; "
            "add it as a black box instead."
        )

    def _attributes(self, node: Any, function: Callable[..., Any]) -> dict[str, Any]:
        from onnx import TensorProto, helper

        accepted = {p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY}
        keywords: dict[str, Any] = {}
        for attribute in node.attribute:
            if attribute.name in INERT:
                continue
            if attribute.name not in accepted or attribute.name in ("opset", "outputs"):
                raise Unsupported(f"with the attribute '{attribute.name}'")
            value = helper.get_attribute_value(attribute)
            if isinstance(value, TensorProto):
                value = self._tensor(value)
            keywords[attribute.name] = value.decode() if isinstance(value, bytes) else value
        outputs = sum(1 for name in node.output if name)
        if "outputs" in accepted:
            keywords["outputs"] = outputs
        elif outputs > 1:
            raise Unsupported(f"with {outputs} outputs")
        if "opset" in accepted:
            keywords["opset"] = self.opset
        return keywords

    def _freed(self, node: Any, inputs: list[_Value], keywords: dict[str, Any]) -> list[_Value]:
        """The inputs, with the batch size that the file was exported with replaced by that of each trial."""
        if node.op_type == "Reshape" and inputs[1].constant:
            x, target = inputs[0], inputs[1].samples[0]
            axis, exported = x.batch_axis, self.fixed_batch or 1
            if x.proxy is None or axis is None or axis >= len(target) or target[axis] <= 0:
                return inputs
            count = x.samples[0].numel() // TRIALS[0] * exported
            fits = int(target.prod()) == count if (target > 0).all() else bool(self.fixed_batch)
            if fits and target[axis] % exported == 0:
                scaled = [target.clone() for _ in TRIALS]
                for copy, batch in zip(scaled, TRIALS, strict=True):
                    copy[axis] = target[axis] // exported * batch
                return [x, self._known(*scaled)]
        follows = any(v.proxy is not None and v.batch_axis == 0 for v in inputs)
        if node.op_type == "Concat" and self.fixed_batch == 1 and keywords["axis"] != 0 and follows:
            return [self._repeated(v) if v.constant and v.samples[0].shape[0] == 1 else v for v in inputs]
        return inputs

    def _repeated(self, value: _Value) -> _Value:
        row = value.samples[0]
        return self._known(*(row.expand(batch, *row.shape[1:]) for batch in TRIALS))

    def _apply(
        self, node: Any, function: Callable[..., Any], inputs: Sequence[_Value], keywords: dict[str, Any]
    ) -> list[_Value]:
        plain = PLAIN.get(node.op_type, frozenset())
        present = [(i, v) for i, v in enumerate(inputs) if v.samples]
        for i, value in present:
            if i in plain and value.proxy is not None:
                raise Unsupported(f"with a computed input {i + 1}")
        tensors = [v for i, v in present if i not in plain]
        meta = any(v.proxy is not None for v in tensors)

        def sample(trial: int) -> list[Tensor]:
            arguments: list[Any] = [None] * len(inputs)
            for i, value in present:
                real = value.samples[trial]
                arguments[i] = real.tolist() if i in plain else real.to("meta") if meta else real
            return _listed(function(*arguments, **keywords))

        trials = 1 if all(v.constant for _, v in present) else len(TRIALS)
        with torch.no_grad():
            samples = [sample(trial) for trial in range(trials)]
        if all(not result.is_meta for result in samples[0]):
            return [self._known(*results) for results in zip(*samples, strict=True)]
        arguments: list[Any] = [None] * len(inputs)
        for i, value in present:
            arguments[i] = self._numbers(value) if i in plain else self._operand(value)
        output = function(*arguments, **keywords)
        count = len(samples[0])
        proxies = [output] if count == 1 and keywords.get("outputs", 1) == 1 else [output[i] for i in range(count)]
        return [self._computed(results, p) for results, p in zip(zip(*samples, strict=True), proxies, strict=True)]

    def _numbers(self, value: _Value) -> Any:
        """A known value as numbers, those that follow the batch as an expression in it."""
        if value.constant:
            return value.samples[0].tolist()
        low, high = (sample.tolist() for sample in value.samples)
        if not (isinstance(low, list) and len(low) == len(high)):
            raise Unsupported("with an input that follows the batch")
        return [n if n == m else self._expression(n, m - n) for n, m in zip(low, high, strict=True)]

    def _expression(self, first: int, slope: int) -> Any:
        batch, offset = self._batch(), first - slope * TRIALS[0]
        expression: Any = batch if slope == 1 else operator.mul(batch, slope)
        return operator.add(expression, offset) if offset else expression

    def _batch(self) -> fx.Proxy:
        if self.batch is None:
            face = next(iter(self.graph.nodes))
            with self.graph.inserting_after(face):
                self.batch = fx.Proxy(face, self.tracer).size(0)
        return self.batch

    def _operand(self, value: _Value) -> Any:
        """A tensor argument: the computed value, the constant, or a constant row repeated over the batch."""
        if value.proxy is not None or value.constant:
            return value.samples[0] if value.proxy is None else value.proxy
        row = value.samples[0][:1]
        for sample, batch in zip(value.samples, TRIALS, strict=True):
            if (
                not row.ndim
                or sample.shape != (batch, *row.shape[1:])
                or not torch.equal(sample, row.expand_as(sample))
            ):
                raise Unsupported("with an input that follows the batch")
        row = row.clone()
        constant = fx.Proxy(self.tracer.create_arg(row), self.tracer)
        return self._computed(value.samples, constant.expand((self._batch(), *row.shape[1:]))).proxy


def _listed(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else list(result)
