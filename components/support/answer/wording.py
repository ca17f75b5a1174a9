"""What the shop says whatever the intent, in every language that it answers in."""

from __future__ import annotations

from components.support.taxonomy import Bilingual

HAND_OVER = Bilingual(
    en="I am handing this over to a colleague, who will see what you have written and get back to you.",
    zh="我把您的问题转交给人工同事，同事能看到您的留言，会尽快回复您。",
)
SORRY = Bilingual(
    en="I am sorry for the trouble. A colleague is taking this over now and sees what you have written, "
    "so you need not repeat it.",
    zh="非常抱歉给您添麻烦了。我这就转交给人工同事处理，您之前的留言同事都能看到，无需重复说明。",
)
WHICH = Bilingual(
    en="To get this right: is it about “{first}” or about “{second}”?",
    zh="为了准确帮到您，请问您想咨询的是“{first}”还是“{second}”？",
)
OPEN = Bilingual(
    en="How can I help you? Please describe it in a few words.", zh="请问有什么可以帮您？麻烦简单描述一下。"
)
