"""What surrounds a request must not be taken for a sign of its difficulty: variants of rows with the same label.

`in_conversation` puts half of the exam questions, which never come with any, behind a system prompt, turns and a wanted
length. `padded` puts small talk around the words of one of our own requests, `cut` leaves of them the first clause, as
people in a hurry do. What is drawn comes from a hash of the text, hence is unrelated to the label and always the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

SMALL_TALK = (
    "Welcome to the service desk of a mail order house. Orders are shipped on weekdays before noon, returns are free "
    "for thirty days, and the team answers within a day. Be friendly, keep to the facts, ask when in doubt. "
)
CHATTER: Mapping[str, Sequence[str]] = {
    "en": (
        "Hi, hope you are doing fine today.",
        "Sorry in advance, I never know how to start these things.",
        "It has been raining here since Tuesday and the dog is going mad indoors.",
        "I only slept about four hours because the upstairs people moved furniture at night.",
        "My sister keeps telling me that I should just ask instead of worrying.",
        "No hurry at all, I know you must get a thousand of these.",
        "I am on the train at the moment, so excuse my spelling.",
        "We had such a lovely weekend at the lake, the kids did not want to come home.",
        "Coffee number three, and it is not even ten o'clock.",
        "A colleague showed me this yesterday and I have been meaning to try it ever since.",
        "I promise this is the last question for today.",
        "Honestly I feel a bit silly for asking.",
        "Our printer broke again, which explains my mood.",
        "Anyway, enough about me.",
        "My boss is on holiday, so it is unusually quiet in the office.",
        "Thanks again for your help the other day, that was really kind.",
        "I tried to look it up but got lost in ads.",
        "The neighbour's cat is sitting on my keyboard while I type this.",
        "I used to be good at this in school, but that was thirty years ago.",
        "Before I forget, here is what I actually wanted.",
        "Don't laugh, please.",
        "I have a meeting in ten minutes and then lunch with an old friend.",
        "It is for my grandmother, she does not like computers.",
        "Lovely weather, isn't it?",
        "That would make my day, thank you so much!",
        "Take all the time you need, I will be making soup.",
        "Cheers, and greetings to the whole team.",
        "If it is too much trouble, just say so.",
    ),
    "zh": (
        "你好呀，今天过得怎么样？",
        "不好意思打扰了，我也不知道该怎么开口。",
        "这边从周二就一直下雨，家里的狗都憋坏了。",
        "昨晚楼上半夜挪家具，我总共睡了四个小时。",
        "我姐老说我想太多，直接问就好了。",
        "不着急的，您慢慢来。",
        "我在地铁上打字，有错别字请见谅。",
        "周末带孩子去湖边玩，回来都不肯上车。",
        "才九点多，已经喝了三杯咖啡了。",
        "同事昨天给我看了这个，我一直想试试。",
        "保证这是今天最后一个问题。",
        "说实话问这个有点难为情。",
        "打印机又坏了，心情可想而知。",
        "好了，闲话少说。",
        "领导休假，办公室难得清静。",
        "上次多亏你帮忙，真的太感谢了。",
        "网上搜了半天全是广告。",
        "邻居家的猫正趴在我键盘上。",
        "上学的时候还会，现在都还给老师了。",
        "差点忘了正事。",
        "你可别笑我。",
        "十分钟后还要开会，中午约了老朋友吃饭。",
        "是帮我奶奶问的，她不太会用手机。",
        "最近天气真不错。",
        "麻烦啦，万分感谢！",
        "我先去煲个汤，回来再看。",
        "祝一切顺利，替我向大家问好。",
        "太麻烦的话就算了。",
    ),
}
_CLAUSE = re.compile(r"[,;:.?!，；：。？！\n]")
_LEAST = {"en": 18, "zh": 6}  # characters; a shorter first clause says nothing


def in_conversation(body: Mapping[str, Any]) -> dict[str, Any]:
    """Half of all bodies as they are, the others after a system prompt, turns and with a wanted length."""
    if len(body.get("messages", ())) != 1:
        return dict(body)
    draw, plain = divmod(_draw(_last(body)), 2)
    if plain:
        return dict(body)
    draw, system = divmod(draw, 4)
    draw, turns = divmod(draw, 4)
    draw, wanted = divmod(draw, 4)
    size = 1 + draw % 6
    messages = [{"role": "system", "content": SMALL_TALK * system}] if system else []
    for _ in range(turns):
        messages += [{"role": "user", "content": SMALL_TALK}, {"role": "assistant", "content": SMALL_TALK * size}]
    length = {"max_tokens": 64 * 8**wanted} if wanted else {}
    return {**length, **body, "messages": [*messages, *body["messages"]]}


def padded(body: Mapping[str, Any], language: str, salt: str = "") -> dict[str, Any]:
    """The last message between one to six sentences of small talk, most of them before it."""
    text = _last(body)
    draw, lines = _draw(text + salt), CHATTER[language]
    draw, before = divmod(draw, 5)
    draw, after = divmod(draw, 3)
    chosen = []
    for _ in range(before + after + 1):
        draw, at = divmod(draw * 2_654_435_761 % 2**32, len(lines))
        chosen.append(lines[at])
    space = " " if language == "en" else ""
    head, tail = space.join(chosen[: before + 1]), space.join(chosen[before + 1 :])
    return _with_last(body, space.join(part for part in (head, text, tail) if part))


def cut(body: Mapping[str, Any], language: str) -> dict[str, Any] | None:
    """With the first clause of the last message for all of it; None if there is no more than one."""
    text = _last(body)
    for clause in _CLAUSE.finditer(text):
        if clause.start() >= _LEAST[language]:
            short = text[: clause.start()].strip()
            return _with_last(body, short) if len(short) < len(text) - 3 else None
    return None


def _draw(text: str) -> int:
    return crc32(text.encode("utf-8", "surrogatepass"))


def _last(body: Mapping[str, Any]) -> str:
    """The text of the last message, empty if that is no plain text."""
    messages = body.get("messages") or [{}]
    content = messages[-1].get("content")
    return content if isinstance(content, str) else ""


def _with_last(body: Mapping[str, Any], text: str) -> dict[str, Any]:
    return {**body, "messages": [*body["messages"][:-1], {**body["messages"][-1], "content": text}]}
