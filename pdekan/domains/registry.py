"""The types of domains: what problem files call them, and the functions that make them."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args, get_type_hints

from pdekan.domains.ball import ball
from pdekan.domains.base import Domain
from pdekan.domains.box import box
from pdekan.domains.combinations import difference, intersection, union
from pdekan.domains.cylinder import Cylinder
from pdekan.domains.mesh_file import mesh
from pdekan.domains.moving import Moving
from pdekan.domains.shapes import Rectangle, annulus, disk, ellipse, polygon
from pdekan.domains.solids import cylinder, half_space, torus

Factory = Callable[..., Domain]
# A name here is a `type` of [domain] in a problem file. The parameters of its function are the keys, the annotated return type
# is the class that is stored.
DOMAINS: dict[str, Factory] = {
    "box": box, "disk": disk, "annulus": annulus, "ellipse": ellipse, "ball": ball, "polygon": polygon,
    "cylinder": cylinder, "torus": torus, "half_space": half_space,
    "union": union, "intersection": intersection, "difference": difference, "mesh": mesh,
}  # fmt: skip


def classes() -> dict[str, type[Domain]]:
    """The classes of all domains by the names under which they are stored."""
    hints = [one if isinstance(one, type) else get_type_hints(one)["return"] for one in DOMAINS.values()]
    made = [one for hint in hints for one in get_args(hint) or (hint,)]
    return {one.__name__.lower(): one for one in (*made, Rectangle, Cylinder, Moving)}
