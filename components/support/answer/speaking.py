"""The words of a verdict, in the customer's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.support.answer.ask import Reply, Turn
from components.support.answer.decision import Verdict
from components.support.answer.reply import Draft, filled, worded
from components.support.answer.wording import HAND_OVER, OPEN, SORRY, WHICH
from components.support.taxonomy import Bilingual, Intent, Language


class Speaker:
    """Knows the shop's intents by name; says nothing that neither they nor `wording` say."""

    def __init__(self, known: Mapping[str, Intent]) -> None:
        self._known = known

    def says(self, verdict: Verdict, draft: Draft | None, language: Language, upset: bool) -> Reply:
        """`draft` is that of the verdict's intent, where it has one."""
        if verdict.decision == "hand_over":
            return self._handed_over(verdict, draft, language, upset)
        if verdict.decision == "clarify":
            return self._asked(verdict, language)
        if draft is None:
            raise ValueError("an answer is that of an intent, whose reply is drafted")
        return filled(draft)

    def _asked(self, verdict: Verdict, language: Language) -> Reply:
        if verdict.between is not None:
            first, second = (each.title for each in verdict.between)
            return worded(WHICH, language, first=first, second=second)
        question = self._question(verdict.intent, verdict.asks)
        return (
            worded(OPEN, language) if question is None else Reply(question.within(language), question.within(language))
        )

    def _handed_over(self, verdict: Verdict, draft: Draft | None, language: Language, upset: bool) -> Reply:
        """The intent's own words where it is one for a person and all is known; what is still missing is asked for."""
        base = worded(SORRY if upset else HAND_OVER, language)
        intent = self._known.get(verdict.intent or "")
        if intent is None or draft is None or intent.answer_alone:
            return base
        if draft.is_complete:
            return base if upset else filled(draft)
        question = self._question(intent.name, draft.needs[0]) if draft.needs and not draft.against else None
        if question is None:
            return base
        both = f"{base.text}{'' if language == 'zh' else ' '}{question.within(language)}"
        return Reply(both, both)

    def _question(self, intent: str | None, need: str | None) -> Bilingual | None:
        known = self._known.get(intent or "")
        return None if known is None else {str(name): words for name, words in known.questions.items()}.get(need or "")


def said_before(reply: Reply, conversation: Sequence[Turn]) -> bool:
    """Whether the shop said just this already, so that saying it again would help nobody."""
    return any(turn.by == "shop" and reply.text in turn.text for turn in conversation)
