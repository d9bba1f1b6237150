"""Divide a network into blocks, so that blocks near the input can train slower or stay frozen."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from torch import nn
from torchvision.models import maxvit, regnet, vision_transformer

from gzfeatures.networks._compat_torch import BATCH_NORMS, CONVOLUTIONS, is_dense_block
from gzfeatures.networks.models.architectures import output_layer

_HOLDERS = (
    *(nn.Sequential, nn.ModuleList, nn.ModuleDict, regnet.AnyStage),
    *(vision_transformer.Encoder, maxvit.MaxVitBlock),
)
"""Types of modules that only contain blocks one after another; a subclass does not count."""

_NORMS = (*BATCH_NORMS, nn.LayerNorm, nn.GroupNorm)
_AUXILIARY = ("aux", "AuxLogits")
_DECAYED = (nn.Linear, *CONVOLUTIONS, nn.MultiheadAttention)


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """Group parameters and layers of a network; a training updates or freezes them together.

    Parameters
    ----------
    names : tuple of str
        Names of the block's parameters and buffers, as in the network's `state_dict`.
    modules : tuple of nn.Module
        Layers of the block, and the dropout layers just before them.
    """

    names: tuple[str, ...]
    modules: tuple[nn.Module, ...]


@dataclasses.dataclass(eq=False)
class _Unit:
    path: str
    module: nn.Module
    # whether `module` is the first module with parameters inside its container
    opens: bool

    @property
    def empty(self) -> bool:
        return (
            next(self.module.parameters(), None) is None
            and next(self.module.buffers(), None) is None
        )


def blocks(network: nn.Module) -> list[Block]:
    """Divide a network into blocks, input first; the last block is the output layer alone.

    A block is a residual, dense, inception or transformer block, or a convolution or linear layer
    between them. A normalisation belongs to the layer before it; where it comes first
    (pre-activation), to the layer after it. Class tokens and position embeddings belong to the
    first block, because they are added to its input. Auxiliary classifiers belong to the last
    block.

    Parameters
    ----------
    network : nn.Module
        As `architectures.build` returns it.

    Examples
    --------
    >>> from gzfeatures.networks.models.architectures import build
    >>> [block.names[0] for block in blocks(build("resnet18", 3))][:3]
    ['conv1.weight', 'layer1.0.conv1.weight', 'layer1.1.conv1.weight']
    """
    head = output_layer(network)
    # names of parameters that belong to a container itself, not to one of its layers
    loose: list[str] = []
    units = list(_units(network, "", loose))
    groups: list[list[_Unit]] = []
    # modules without parameters, which join the next block
    waiting: list[_Unit] = []
    auxiliary: list[_Unit] = []
    for place, unit in enumerate(units):
        # auxiliary classifiers branch off in the middle of the network, but are trained with the
        # output layer: collect them for the last block
        if unit.path.startswith(_AUXILIARY):
            auxiliary.append(unit)
        elif unit.empty:
            waiting.append(unit)
        elif isinstance(unit.module, _NORMS):
            # a normalisation that stands before its layer (pre-activation) belongs to the following
            # block
            following = next((later for later in units[place + 1 :] if not later.empty), None)
            prepares = unit.opens and following is not None and following.path != head
            if not groups or (
                prepares and following is not None and _holder(following) == _holder(unit)
            ):
                waiting.append(unit)
            else:
                groups[-1] += [*waiting, unit]
                waiting = []
        else:
            groups.append([*waiting, unit])
            waiting = []
    groups[-1] += [*waiting, *auxiliary]
    names_of_groups = [[name for unit in group for name in _weight_names(unit)] for group in groups]
    # class tokens and position embeddings belong to no layer, so they join the first block
    names_of_groups[0] = [*loose, *names_of_groups[0]]
    return [
        Block(tuple(names), tuple(unit.module for unit in group))
        for names, group in zip(names_of_groups, groups, strict=True)
    ]


def decayed(network: nn.Module) -> set[str]:
    """Return the names of parameters with weight decay: linear, convolution and attention weights.

    Biases, normalisation, layer scale, position embeddings and tables, and class tokens are not
    among them.
    """
    return {
        f"{path}.{name}" if path else name
        for path, module in network.named_modules()
        if isinstance(module, _DECAYED)
        for name, _ in module.named_parameters(recurse=False)
        if name.endswith("weight")
    }


def _units(module: nn.Module, path: str, loose: list[str]) -> Iterator[_Unit]:
    prefix = f"{path}." if path else ""
    parameters = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    loose += [prefix + name for name, _ in parameters]
    first = True
    for name, child in module.named_children():
        if type(child) in _HOLDERS or is_dense_block(child):
            yield from _units(child, prefix + name, loose)
            first = False
        else:
            unit = _Unit(prefix + name, child, first)
            first = first and unit.empty
            yield unit


def _holder(unit: _Unit) -> str:
    return unit.path.rpartition(".")[0]


def _weight_names(unit: _Unit) -> list[str]:
    return [f"{unit.path}.{name}" for name in unit.module.state_dict()]
