/** The sentences in Simplified Chinese. */
import type { Messages } from './messages.ts';

export const ZH_CN: Messages = {
  'summary.confirmed': '{fault}（{component}）：迹象明显且持续，应当处理。',
  'summary.watched': '{fault}（{component}）：已有迹象，正在观察，尚不处理。',
  'summary.foreseen': '{fault}（{component}）：根据趋势预见，尚无单个样本足够异常。',
  'summary.unexplained.confirmed': '设备表现异常，已知故障模式均无法解释；已持续足够长时间，应当处理。',
  'summary.unexplained.watched': '设备表现异常，已知故障模式均无法解释；正在观察，尚不处理。',
  'summary.noData': '设备没有数据上传。其他未关闭的告警保持原样：没有数据不能说明其状态。',
  'summary.rule': '规则“{rule}”的条件成立。',
  'summary.ruleEnded': '规则“{rule}”的条件曾经成立。',

  'because.above': '{signal}为 {value}，高于预期范围 {low} 至 {high}；占证据的 {share}。',
  'because.below': '{signal}为 {value}，低于预期范围 {low} 至 {high}；占证据的 {share}。',
  'because.inside': '{signal}为 {value}，在预期范围 {low} 至 {high} 之内；该故障会在此信号上显现。',
  'because.none': '没有信号超出预期范围；告警仅由预测触发。',
  'because.noData': '已有 {silent} 没有数据；该设备超过 {allowed} 无数据即视为失联。',
  'because.held': '规则要求：{condition}。当时确实如此。',
  'because.heldBy': '规则要求：{condition}。当时为 {value}。',
  'because.lateData': '迟到的数据改变了已知情况。',
  'because.ruleChanged': '规则已修改。',
  'because.ruleRemoved': '规则已删除。',

  'since.before': '始于 {onset}，比告警触发早 {lead}。',
  'since.atOnce': '始于 {onset}。',
  'since.drifting': '{signal}自 {since} 起持续漂移。',

  'cause.likely': '可能原因（{share}）：{cause}。',
  'cause.named': '规则指明的原因：{cause}。',
  'cause.other': '也有可能（{share}）：{fault}。',
  'cause.none': '目录中没有故障模式能解释它。',
  'cause.effect': '若不处理：{effect}。',

  'reported.fault': '设备自身上报 {code} 共 {count} 次，最近一次在 {last}。',

  'outlook.life': '剩余寿命：{median}；90% 置信区间为 {lower} 至 {upper}。',
  'outlook.within': '{span}内发生故障的概率：{p}（{lower} 至 {upper}）。',
  'outlook.none': '没有模型能预见该故障何时导致失效。',
  'outlook.warmingUp': '暂时无法估计剩余寿命：需要 {need} 条记录，现有 {have} 条。',
  'outlook.noTrend': '无法估计剩余寿命：没有朝向限值的趋势。',
  'outlook.beyond': '无法估计剩余寿命：信号从一开始就超出限值。',
  'outlook.lateStart': '无法估计剩余寿命：历史数据未追溯到寿命起点。',
  'outlook.missing': '无法估计剩余寿命：{total} 个输入中缺少 {missing} 个。',
  'outlook.byAge':
    '没有趋势可判断何时失效；按使用年限统计，{units} 台同类设备中已有 {failures} 台失效，以下概率据此得出。',
  'outlook.unknown': '无法估计剩余寿命：{reason}。',

  'sure.rare': '健康设备每 {n} 个样本才出现 1 次；达到每 {m} 个样本 1 次即触发告警。',
  'sure.rarest': '健康设备每 {n} 个样本出现不到 1 次；达到每 {m} 个样本 1 次即触发告警。',
  'sure.foreseen': '单凭该样本不会触发告警（需达到每 {m} 个样本 1 次）；告警由预测触发。',
  'sure.fading': '单凭最新样本不会触发告警（需达到每 {m} 个样本 1 次）；告警由更早的样本触发。',
  'sure.rule': '由人员设定：出现此情况即应处理。',
  'sure.confirmed': '已按告警策略确认。',
  'sure.unconfirmed': '尚未确认：持续时间不够，或预测表明时间尚充裕。',

  'similar.device.none': '该设备此前未出现过此故障。',
  'similar.device': '该设备此前出现过此故障 {count} 次，最近一次在 {last}。',
  'similar.model.none': '同型号其他设备此前未出现过此故障。',
  'similar.model': '同型号其他设备此前：{count} 次，涉及 {devices} 台设备。',
  'similar.outcome':
    '其中已知检修结果的 n = {count} 例：确认此故障 {confirmed} 例，其他原因 {otherCause} 例，未发现故障 {noFault} 例。',
  'similar.noOutcome': '其中尚无检修结果，因此无法得知有多少是正确的。',

  'clears.below': '当{signal}回到 {limit}（当时预期范围的边界）以下时解除。',
  'clears.above': '当{signal}回到 {limit}（当时预期范围的边界）以上时解除。',
  'clears.noData': '收到第一条消息后即清除。',
  'clears.usual': '当其所有信号都保持在预期范围附近时解除。',
  'clears.lasting': '须连续保持 {count} 个样本，且至少 {span}。',
  'clears.policy': '须保持告警策略所要求的时间。',
  'clears.life': '剩余寿命的下限还须大于 {horizon}。',
  'clears.rule': '当以下条件不再成立时解除：{condition}。',
  'clears.cleared': '已于 {at} 解除。',

  'source.detector': '发现者：{method}，版本 {version}。',
  'source.rule': '规则“{rule}”，版本 {version}。',
  'source.prediction': '预测者：{method}，版本 {version}。',

  'method.seasonal-residual': '季节残差检测器（当前异常）',
  'method.drift': '漂移检测器（缓慢磨损）',
  'method.relations': '关联检测器（信号之间不再吻合）',
  'method.novelty': '新奇检测器（罕见数值）',
  'method.trend-to-threshold': '趋势外推至限值',
  'method.survival-by-age': '按使用年限的生存分析',
  'method.boosted-trees': '由机群数据拟合的模型',

  'name.unexplained': '异常表现',
  'name.wholeDevice': '整台设备',
  'name.otherCause': '目录未描述的原因',
  'name.faultCode': '{code}“{text}”',

  'unit.cycles': '{count} 次循环',
};
