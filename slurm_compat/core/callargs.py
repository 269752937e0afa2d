"""Arguments that several calls have. Over the wire nothing else is accepted; `->` in a docstring is the answer."""

from __future__ import annotations

import msgspec


class Args(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    pass


class Nothing(Args):
    pass


class Fields(Args):
    fields: list[str]
    names: list[str] = []


class JobId(Args):
    job_id: int


class Targets(Args):
    """Job expressions as users write them: 123, 123_4, 123_[1-3], 123+1, 123.0.

    -> {errors: [[target, number, text]...]}: those refused; the others are done.
    """

    targets: list[str]
