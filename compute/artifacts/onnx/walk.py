"""Walk over every message in a parsed model. It follows protobuf's descriptors, so that no message is missed."""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from onnx import FunctionProto, GraphProto, NodeProto


@dataclass(frozen=True)
class Place:
    """A message, and its depth: in how many graphs it is nested below the main graph or function."""

    message: Message
    depth: int


@dataclass(frozen=True)
class Fields:
    """The fields of one message type that hold names or further messages. Tensor data is in neither."""

    strings: tuple[FieldDescriptor, ...]
    messages: tuple[FieldDescriptor, ...]


@functools.cache
def fields_of(descriptor: Descriptor) -> Fields:
    """Return the string fields and the message fields of a message type."""
    fields = tuple(descriptor.fields)
    return Fields(
        strings=tuple(field for field in fields if field.type == FieldDescriptor.TYPE_STRING),
        messages=tuple(field for field in fields if field.message_type is not None),
    )


def walk(root: Message) -> Iterator[Place]:
    """Yield the root and everything in it, parents first. It is lazy, so a caller can stop early at low cost."""
    stack = [Place(root, -1 if root.DESCRIPTOR.name == "ModelProto" else 0)]
    while stack:
        place = stack.pop()
        yield place
        for field in fields_of(place.message.DESCRIPTOR).messages:
            for child in values(place.message, field):
                stack.append(Place(child, place.depth + isinstance(child, GraphProto)))


def values(message: Message, field: FieldDescriptor) -> Iterable[Message]:
    """Return the messages in one field, whether it is single or repeated."""
    if field.is_repeated:
        repeated: Iterable[Message] = getattr(message, field.name)
        return repeated
    return (getattr(message, field.name),) if message.HasField(field.name) else ()


def nodes_in(body: GraphProto | FunctionProto) -> Iterator[NodeProto]:
    """Yield all nodes of a graph or function, with those of the graphs nested in them."""
    stack: list[GraphProto | FunctionProto] = [body]
    while stack:
        for node in stack.pop().node:
            yield node
            for attribute in node.attribute:
                stack.extend(attribute.graphs)
                if attribute.HasField("g"):
                    stack.append(attribute.g)
