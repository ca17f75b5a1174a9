"""What an intent's reply lacks, and how it is filled: never with anything that nobody stated.

Values are put in once, as they are: braces in what a customer or a system wrote are text, not slots.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.support.answer.ask import Reply
from components.support.taxonomy import Bilingual, Intent, Language

SLOT = re.compile(r"\{([a-zA-Z_][a-zA-Z0-9_]*)\}")
LONGEST = 1000  # characters of one value; a reply is read on a telephone


@dataclass(frozen=True, slots=True)
class Draft:
    """An intent's reply as far as it can be filled.

    needs    that neither the customer nor the shop told, or told more than once; the first is asked for
    facts    that the shop did not supply
    against  needs of which the shop's facts say something else than the customer
    """

    template: str
    slots: Mapping[str, str]
    needs: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    against: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        return not (self.needs or self.facts or self.against)


def draft(intent: Intent, language: Language, told: Mapping[str, Sequence[str]], facts: Mapping[str, str]) -> Draft:
    """`told` are the customer's own values by entity, of which more than one leaves open which is meant."""
    supplied = {name: plain(facts[name]) for name in (*intent.needs, *intent.facts) if name in facts}
    known = {name: value for name, value in supplied.items() if value}
    against = tuple(need for need in intent.needs if need in known and not _agrees(known[need], told.get(need, ())))
    for need in intent.needs:
        stated = _distinct(told.get(need, ()))
        if need not in known and len(stated) == 1:
            known[need] = stated[0]
    return Draft(
        intent.replies.within(language),
        {name: known[name] for name in sorted(intent.slots) if name in known},
        tuple(need for need in intent.needs if need not in known),
        tuple(fact for fact in intent.facts if fact not in known),
        against,
    )


def filled(draft: Draft) -> Reply:
    """The reply of a complete draft."""
    return Reply(fill(draft.template, draft.slots), draft.template, draft.slots)


def worded(words: Bilingual, language: Language, **slots: str) -> Reply:
    """Words of the shop's own, with `slots` put in."""
    template = words.within(language)
    return Reply(fill(template, slots), template, slots)


def fill(template: str, slots: Mapping[str, str]) -> str:
    """`template` with each {name} replaced in one pass; raises KeyError for a slot without a value."""
    return SLOT.sub(lambda found: slots[found[1]], template)


def plain(value: object) -> str:
    """One line of visible text: what hides or turns characters around is taken out, what is too long is cut."""
    shown = "".join(_visible(each) for each in str(value)[: 2 * LONGEST])
    line = " ".join(shown.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1].rstrip()}…"


def _visible(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in ("Cc", "Zl", "Zp"):
        return " "
    return "" if kind in ("Cf", "Cs", "Co", "Cn") else character


def _agrees(known: str, told: Sequence[str]) -> bool:
    """Whether the customer said nothing else; one of several numbers that were told may be the shop's."""
    return not told or _key(known) in {_key(each) for each in told}


def _distinct(told: Sequence[str]) -> list[str]:
    values = [plain(each) for each in told]
    return list({_key(value): value for value in values if value}.values())


def _key(value: str) -> str:
    """Letters and digits alone: "#A-12 345" and "a12345" are one number."""
    folded = unicodedata.normalize("NFKC", value).casefold()
    return "".join(each for each in folded if each.isalnum()) or folded
