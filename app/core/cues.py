"""Words that say what kind of work a request is, in English and Chinese: plain data for `features`.

Each family is one counter; a word belongs to one family only (a test holds that). English words are
matched whole, Chinese ones as substrings. The lists are short on purpose: they name what people write
when they ask for light or heavy work, and the hashed words learn the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

ENGLISH: Mapping[str, str] = {
    "cue_reason": (
        "prove proof derive deduce infer justify why explain reason reasoning argue argument refute "
        "rigorous rigorously formally induction contradiction counterexample imply implies cause "
        "causes root"
    ),
    "cue_math": (
        "integral integrate derivative equation theorem lemma matrix eigenvalue polynomial prime "
        "modulo probability expected variance bayes combinatorics asymptotic converge convergence "
        "inequality limit vector solve calculate compute sum sqrt irrational"
    ),
    "cue_code": (
        "function code python java javascript typescript rust golang sql regex class api bug debug "
        "stack trace exception compile thread deadlock race mutex async algorithm complexity "
        "refactor query kubernetes docker unit tests schema index memory leak"
    ),
    "cue_design": (
        "design architecture architect plan planning strategy roadmap trade tradeoff tradeoffs "
        "optimize optimise optimal schedule migrate migration distributed scalable consistency "
        "failover throughput evaluate analyze analyse analysis diagnose investigate estimate "
        "propose"
    ),
    "cue_constraint": (
        "must exactly without unless except constraint constraints subject requirement requirements "
        "satisfy simultaneously respectively every least both neither nor never always only given "
        "assume suppose budget deadline"
    ),
    "cue_expert": (
        "contract clause liability statute jurisdiction tort plaintiff defendant dosage dose "
        "patient symptom symptoms diagnosis contraindication renal tax depreciation hedge option "
        "portfolio valuation compliance gdpr audit patent"
    ),
    "cue_light": (
        "hi hello hey thanks thank bye morning translate synonym spell spelling capital title "
        "rename convert celsius fahrenheit rhyme joke greeting emoji lowercase uppercase bullet "
        "shorten headline caption pronounce plural abbreviation"
    ),
    "cue_brief": "brief briefly short shortly quick quickly sentence word concise simple simply just yes no",
    "cue_steps": (
        "step steps detailed detail thorough thoroughly comprehensive compare versus difference "
        "pros cons multiple several then finally"
    ),
}

CHINESE: Mapping[str, str] = {
    "cue_reason": "证明 推导 论证 为什么 为何 解释 原因 反例 归纳法 反证 严格 推理 说明理由 因果",
    "cue_math": (
        "积分 导数 方程 定理 矩阵 特征值 多项式 质数 素数 概率 期望 方差 组合数 收敛 不等式 极限 "
        "向量 求解 计算 无理数 级数 递推"
    ),
    "cue_code": (
        "函数 代码 程序 线程 死锁 并发 算法 复杂度 重构 接口 报错 调试 内存 泄漏 数据库 正则 索引 编译 分布式 缓存"
    ),
    "cue_design": "设计 架构 方案 规划 策略 权衡 优化 排期 迁移 高可用 一致性 评估 分析 诊断 排查 估算 选型",
    "cue_constraint": "必须 不得 不能超过 至少 至多 恰好 同时满足 约束 条件 除非 假设 分别 预算 每个 限制",
    "cue_expert": (
        "合同 条款 责任 法院 原告 被告 违约 诉讼 刑法 民法 剂量 患者 症状 禁忌 肾功能 税 折旧 对冲 "
        "期权 估值 合规 专利 判决 被告人"
    ),
    "cue_light": (
        "你好 您好 谢谢 早上好 晚安 再见 翻译 同义词 反义词 怎么读 拼音 首都 标题 换算 摄氏 笑话 "
        "谜语 错别字 润色 问候 祝福 表情"
    ),
    "cue_brief": "一句话 简短 简单 简要 一个词 只要 直接 快速 短一点",
    "cue_steps": "步骤 逐步 详细 全面 深入 对比 比较 区别 优缺点 分步 逐条 依次",
}

FAMILIES = tuple(ENGLISH)
FAMILY_OF_WORD: Mapping[bytes, int] = {
    word.encode(): number for number, name in enumerate(FAMILIES) for word in ENGLISH[name].split()
}
FAMILY_OF_CHINESE: Mapping[str, int] = {
    cue: number for number, name in enumerate(FAMILIES) for cue in CHINESE[name].split()
}
CHINESE_CUES = re.compile("|".join(sorted(FAMILY_OF_CHINESE, key=lambda cue: (-len(cue), cue))))
