"""Words that make a claim, by what they claim: a reply in other words may neither gain nor lose a kind of them.

Kinds, not words: "soon" may become "shortly", and 尽快 stays a matter of time in whatever form. Stems end with `*`.
"""

from __future__ import annotations

KINDS: dict[str, str] = {
    "soon": "soon shortly quickly promptly 尽快 很快 尽早",
    "now": "immediately instantly now 立即 马上 立刻 现在",
    "day": "day days daily 天 日内 工作日",
    "hour": "hour hours minute minutes 小时 分钟",
    "week": "week weeks weekend* 周 星期 礼拜",
    "month": "month months 个月 月内 月底 月初",
    "year": "year years annual* 年",
    "time of day": "noon midday midnight morning* afternoon* evening* 上午 下午 中午 早上 晚上 傍晚 点钟",
    "place": "door* porch reception neighbour* neighbor* locker* 门口 楼下 家门 驿站 前台",
    "keeping": "keep keeps kept 留着 保留 自留",
    "somebody": "mr mrs ms 师傅 先生 女士 小姐 老师",
    "make": "made organic cotton leather wool silk steel genuine original 材质 纯棉 真皮 正品 原装",
    "today": "today tonight 今天 今日 今晚",
    "tomorrow": "tomorrow 明天 明日 后天",
    "yesterday": "yesterday 昨天 昨日 前天",
    "refund": "refund* reimburse* repay* repaid 退款 退钱 退还",
    "free": "free complimentary gratis 免费 包邮 免运费",
    "discount": "discount* coupon* voucher* promo* sale 优惠 折扣 打折 券 红包 促销",
    "compensation": "compensat* goodwill 赔 补偿",
    "guarantee": "guarante* promis* definitely certainly assur* ensur* 保证 承诺 一定 肯定 确保 包您",
    "exchange": "exchang* replac* swap* 换货 更换 调换",
    "return": "return* 退货 退回 寄回",
    "cancel": "cancel* 取消 撤销",
    "delivery": "deliver* ship* dispatch* arriv* courier* parcel* 送达 发货 配送 派送 到货 快递 物流 包裹 寄出",
    "stock": "stock* restock* available availability 库存 有货 现货 补货 缺货",
    "approval": "approv* accept* agreed 批准 同意 通过",
    "done": "processed completed done finished 已处理 已完成 办好 处理完",
    "warranty": "warrant* repair* 保修 质保 维修",
    "fee": "fee fees charge charges charged cost costs price* pay pays paid payment* 费 价格 付款 支付 扣款",
    "tax": "tax* invoice* 税 发票",
    "call": "call calls phone* telephone* dial* hotline* 电话 致电 拨打 热线",
    "mail": "email* e-mail* mail 邮件 邮箱",
    "web": "website* link* click* log login portal app 网站 官网 链接 点击 登录",
    "chat": "chat* whatsapp wechat 微信 客服号",
    "password": "password* code codes pin 密码 验证码",
    "person": "colleague* agent* team* manager* supervisor* specialist* human* 同事 人工 客服 经理 主管 专员",
    "court": "lawyer* legal* police court 律师 法律 警察 报警 法院",
    "data": "account* delet* data 账户 账号 帐号 删除 注销",
    "carrier": "dhl ups fedex usps hermes 顺丰 圆通 中通 申通 韵达 京东 邮政 菜鸟 极兔",
    "purse": "paypal visa mastercard klarna amex stripe iban bank* card cards 支付宝 银联 花呗 银行 信用卡",
    "market": "amazon ebay alibaba aliexpress temu shein walmart 淘宝 天猫 拼多多 亚马逊",
}
NEGATIONS_EN = frozenset({"not", "no", "never", "none", "nor", "neither", "without", "cannot", "unable", "nothing"})
NEGATIONS_ZH = "不没無无未勿"
# where those characters deny nothing
IDIOMS_ZH = ("不好意思", "不便", "不客气", "不用谢", "不仅", "不但", "无论", "没问题", "不断", "不久")
# compared word by word; "may" and "march" are names where they stand in capitals
COUNTED_EN = frozenset(
    """zero two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million dozen half double
    twice percent dollar dollars euro euros pound pounds cent cents yuan monday tuesday wednesday thursday friday
    saturday sunday january february april june july august september october november december""".split()  # noqa: SIM905
)
COUNTED_ZH = "零两二三四五六七八九十百千万亿半元块折"
UNCOUNTED_ZH = ("十分", "万分", "百忙", "千万")  # very, busy, by all means
# with which an English sentence may begin without naming anybody
OPENERS = frozenset(
    """a about all also although an and any anything apologies are as at based because before but by can could dear did
    do does due during each either every everything feel first following for from further given good great happy have
    hello here hi how however i if in indeed is it its just kindly let like looking many may maybe meanwhile more most
    my need next nice of on once one or our perhaps please rest so some sorry sure thank thanks that the their them
    then there these they this those though to understood unfortunately until upon us very we welcome what when where
    whether which while who why will with would yes you your yours""".split()  # noqa: SIM905
)
