"""Words that tell mood and hurry in customers' messages, English and Chinese; written for this project.

A weight says how much a word alone tells. What went wrong ("broken", 坏了) weighs little: it is the reason to write,
not a mood. A `*` stands for any ending. Of words that begin at one place the longest counts, so that `HARMLESS`
keeps 垃圾邮件 (spam) from being read as 垃圾 (rubbish).
"""

from __future__ import annotations

from collections.abc import Mapping

MOODS: Mapping[float, str] = {
    -3.0: """scammer*|thieves|crooks|fuck*|bastard*|bullshit|piece of shit|go to hell|disgust*|despicable|
        骗子|垃圾公司|无耻|無恥|混蛋|王八|滚|滾|去死|妈的|他妈|傻逼|草泥马|黑店|废物|不要脸|强盗|抢钱|人渣""",
    -2.0: """furious|outrag*|ridiculous|unacceptable|unbelievable|appalling|horrendous|scam*|rip off|ripoff|cheated|
        shameful|shame on you|fed up|sick of|sick and tired|had enough|angry|enraged|incompetent|pathetic|infuriat*|
        stupid|idiot*|liar*|lied|worst|a joke|damn|crap|shit|how dare|the nerve|what the hell|never again|wtf|
        explain yourselves|never been treated|treated so badly|done with you|heaven's sake|for god's sake|illegal|
        garbage|losing it|
        气死|氣死|太离谱|太離譜|离谱|離譜|过分|過分|骗人|騙人|欺骗|欺诈|坑人|坑爹|恶心|噁心|愤怒|憤怒|火大|垃圾店|受够|
        什么破|什么烂|什么玩意|太差|最差|差劲|糊弄|耍猴|耍人|耍我|敷衍|踢皮球|扯皮|欺负|凭什么|憑什麼|忍无可忍|丢死人|
        窝囊气|烦死|聋了|瞎了|不识字|无语|無語|违法|偷税|
        投诉你们|举报你|舉報你|是摆设|别废话|偷钱|太坑|抢的|逗人玩|
        比登天|故意坑人|谁赔|吃相|这也敢|没受过""",
    -1.0: """annoy*|angrily|upset|disappoint*|unhappy|frustrat*|terrible|awful|horrible|poor service|bad service|
        rubbish|rude|unfair|nonsense|what a mess|is a mess|complain*|dissatisf*|let down|misled|cheat*|nobody helps|
        nobody does|
        nobody tells|nobody can|no one helps|nobody answers|ignored|ignoring|still nothing|still waiting|third time|
        fourth time|fifth time|tenth time|embarrass*|unprofessional|arrogant|lazy|bad|waste of|hate|fake|useless|
        refuse|explain that|how hard|do you even|thief|joke|
        生气|生氣|不满|不滿|失望|投诉|投訴|抱怨|糟糕|差评|差評|态度差|太慢|受不了|郁闷|鬱悶|不讲理|不负责|没人管|
        没人理|沒人理|骗|騙|坑|太久|怎么搞的|搞什么|第三次|第四次|第三遍|第四遍|说了多少|耽误|假券|垃圾|举报|舉報|故意|什么服务""",
    -0.4: """broken|damage*|crack*|wrong|missing|late|delay*|fail*|error|stuck|lost|defect*|faulty|smashed|problem*|
        worried|sorry to bother|坏了|壞了|破了|碎了|错了|錯了|少了|漏发|丢了|延迟|失败|失敗|报错|问题|担心|到底|烂""",
    0.4: "please|thanks|thank you|thx|kindly|appreciate*|grateful|谢谢|謝謝|感谢|感謝|麻烦您|麻煩您|辛苦|多谢|亲",
    1.5: """love|great|excellent|wonderful|fantastic|amazing|perfect|happy|pleased|delighted|good job|well done|
        awesome|brilliant|keep it up|喜欢|喜歡|满意|滿意|太棒|很棒|真棒|很好|非常好|超赞|点赞|
        好评|好評|开心|開心|给力|不错""",
}
HURRIES: Mapping[float, str] = {
    2.0: """urgent*|asap|as soon as possible|immediately|hacked|fraud*|identity theft|within the hour|police|
        legal action|my lawyer|take you to court|chargeback|before it ships|don't ship yet|
        紧急|緊急|急急|十万火急|火急|被盗|被盜|盗刷|盜刷|报警|報警|律师函|
        找律师|法院|12315|消协|消保|先别发货|先别打包|快点改|快改""",
    1.0: """right now|at once|quick|quickly|hurry|straight away|right away|deadline|this minute|stop this order|stolen|
        emergency|lawyer*|solicitor*|sue|court|allergic|before it leaves|last chance|must have it|
        急|马上|馬上|立刻|立即|赶紧|趕緊|赶快|趕快|尽快|盡快|快点|快點|来不及|來不及|今天必须|现在就|現在就|等不及|
        等不了|加急|救命|诈骗|詐騙|律师|律師|起诉|起訴|过敏""",
    0.5: "now|today|tonight|tomorrow|fast|速度|今天|明天",
}
CALM = """no rush|no hurry|not in a hurry|not urgent|isn't urgent|no urgency|whenever you|when you have time|
    just curious|when you get a chance|take your time|just wondering|in no hurry|
    不急|不着急|不著急|不紧急|没那么急|不赶时间|有空|方便的时候|方便的话|慢慢来|不用急|别急|随便问问"""
NEGATORS = """not|no|never|isn't|wasn't|aren't|don't|doesn't|didn't|won't|can't|cannot|without|hardly|neither|
    isnt|dont|doesnt|didnt|wont|cant"""
CHINESE_NEGATORS = "不没沒别別无無非勿未"
HARMLESS = """good morning|good afternoon|good evening|good day|not bad|no problem|can't complain|never mind|
    don't worry|now and then|by now|until now|just now|now that|great deal|please advise|
    fast delivery|in a hurry|as a joke|
    没问题|沒問題|不客气|好不好|行不行|是不是|不好意思|急着用|急用|坑位|到底部|亲自|亲友|亲戚|滚筒|滚轮|垃圾邮件|垃圾箱|
    垃圾桶|垃圾袋|垃圾短信|我妈的|妈妈的|问题不大|急诊|急救"""
